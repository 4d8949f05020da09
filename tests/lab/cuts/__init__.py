"""A file system that records syncs: power cuts at moments of a recording, and the start after each.

recording_fs.c  the file system: records what any process does below a folder
recording       its recording, as changes; the same of SQLite alone, without that file system
sites           the line of ours that synced
crash_states    the states that a disk may be in after a cut at a moment of a recording
cutting         moments of cuts, and the checks of each
starting        the first start afterwards, without an operator
commands        commands that are answered before a cut, and sent again after it
scenarios       work on a store while the power is cut
keeping         the same for backups, archive, restores
small_files     the same for tokens, users, keys, the audit log
whole           the same for the whole service, with its nats-server
mutants         a sync of ours is left out: that must be noticed
experiments     all of these, for the lab
"""
