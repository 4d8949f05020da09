"""The archive: the log written out as it grows, so that a moment between two backups can be restored, too.

segment     a file with some events: its content, its name, and the list of all segments
writing     writes segments
reading     reads segments, and says what is wrong with one
archiver    writes segments while the service runs
end         where the archive ends, and whether its end was cut off
merge       makes few large segments of many small ones
sign        signs segments that were written before there was a key
verify      reads all segments, and says what is damaged
replay      appends the events of segments to a store
timelines   the timelines that a history goes through
"""
