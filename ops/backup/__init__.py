"""Backups: proven copies of the store's file, and the way back from them.

metadata        a backup's metadata, in a file beside it
content         the content of a store's file, in figures
copying         copies the file while a service writes to it
create          makes a backup: a consistent copy of a store in use
sound           checks that a file is a sound store, and the expected one
audit_heads     the heads of the audit log that backups keep
scratch         temporary files of backups and drills, and their removal
opening         a backup as a plain local file
verify          checks a backup, and notes the result in its metadata
drill           proves that a store can be made from a backup
restoring       a store as it was, in the place of the present one
verdict         which copy is wrong, and what repairs it at the least loss
retention       which backups may be deleted, and which the archive needs
schedule        all of that by the clock; own_command runs each step
administration  all of that for an operator from afar; requests has the bodies
"""
