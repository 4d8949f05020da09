"""The file as a service opens it.

data_directory     the folder of a service: its lock, and what others find it by
file_watch         whether the file is still the one that was opened
opening            the store, made and migrated where it must be
private_files      what others may read of it, and how that is taken from them
troubles           errors of the machine and of SQLite in words, with what to do
upgrade            what this version makes of an older one's store, before it is brought up to date
led_terms          the last term that the file led with a log that trails
lost_events        what it answered and the others went on without, in files for the operator
reseeding          whether an operator wants the file made anew
tables             the projections, as the writer and the mirrors need them
projections_check  tables compared with the log, and rebuilt
"""
