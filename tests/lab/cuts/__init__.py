"""A file system that remembers syncs: the power is cut at moments of a recording, and what is left started.

recording_fs.c  the file system: records what any process does below a folder
recording       what it recorded as changes; the same of SQLite alone, without it
sites           which line of ours synced
crash_states    what a disk may have after a cut at a moment of a recording
cutting         moments, and what is found there
starting        the first start afterwards, without an operator
commands        commands that are answered before a cut, and asked for again after it
scenarios       what is done to a store meanwhile
keeping         to backups, archive, restores
small_files     to tokens, users, keys, the audit log
whole           to the whole service, with its nats-server
mutants         a sync of ours is missing: it must be noticed
experiments     all of it, for the lab
"""
