"""The store's file, as a service opens it.

data_directory     the folder of a service: its lock, and the files by which clients find the service
file_watch         whether the file is still the one that was opened
opening            opens the store, and makes or migrates it where that is needed
private_files      finds files that other users of the machine may read, and takes these rights away
troubles           errors of the machine and of SQLite in words, with what to do
upgrade            checks what this version makes of an older version's store, before it is migrated
led_terms          the last term in which this member led with a log that trails
lost_events        events that a leader answered and the cluster went on without, in files for the operator
reseeding          the operator's request to make the file anew
tables             the projections, as the writer and the mirrors need them
projections_check  compares the tables with the log, and rebuilds them
"""
