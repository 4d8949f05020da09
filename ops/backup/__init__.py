"""Backups: proven copies of the store's file, and the way back from them.

metadata    what is known of a backup, beside its file
create      a consistent copy of a store in use
verify      whether a backup is what it was
drill       whether a store can be had from it
restore     a store as it was, in the place of the present one
retention   which backups may go
"""
