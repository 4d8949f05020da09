"""The archive: the log written out as it grows, so that a moment between two backups can be restored, too.

segment     a file with some events: what is in it, how it is named, and which there are
writing     how it is written
reading     how it is read, and what may be wrong with it
archiver    writes segments while the service runs
end         where it ends, and whether that was cut off
merge       makes few large segments of many small ones
sign        signs what was written before there was a key
verify      reads all of them, and says what is damaged
replay      brings a store forward by what segments have
timelines   the timelines that a history goes through
"""
