"""The archive: the log written out as it grows, so that a moment between two backups can be restored, too.

segment     a file with some events: how it is written, named and read
archiver    writes segments while the service runs
merge       makes few large segments of many small ones
verify      reads all of them, and says what is damaged
replay      brings a store forward by what segments have
"""
