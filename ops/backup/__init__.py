"""Backups: proven copies of the store's file, and the way back from them.

metadata        what is known of a backup, beside its file
create          a consistent copy of a store in use
verify          whether a backup is what it was
drill           whether a store can be had from it
restore_path    what leads to a moment: a backup, the archive, the present store
restore         a store as it was, in the place of the present one; materialize makes it, swap puts it there
recovery        what becomes of a store that is found damaged, or gone, at the start
retention       which backups may go
schedule        all of that by the clock; own_command is how
administration  all of that from afar; running restores a store that is served
"""
