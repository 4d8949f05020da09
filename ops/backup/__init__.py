"""Backups: proven copies of the store's file, and the way back from them.

metadata        what is known of a backup, beside its file
content         what a store's file has, in figures
copying         copies the file while a service writes to it
create          a consistent copy of a store in use
sound           whether a file is a sound store, and the expected one
audit_heads     what a backup knows of the audit log
scratch         what is on a disk for a while, and what is left of it
opening         a backup as a plain local file
verify          whether a backup is what it was, and how that is noted
drill           whether a store can be had from it
restoring       a store as it was, in the place of the present one
verdict         which copy is wrong, and what repairs it at the least loss
retention       which backups may go, and which the archive needs
schedule        all of that by the clock; own_command is how
administration  all of that from afar; requests is what can be asked
"""
