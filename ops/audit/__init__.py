"""The audit log: who did what to the service, line by line, each with the hash of the one before.

entry           a line, and its hash
files           the files of the log, and their lines as they are read
trail           appends lines, also from several processes at once
verification    checks that no line was changed, removed or added
listing         a search for lines
repeats         counts acts that repeat too often, so that they can't fill the disk
recorder        records the acts of a running service
let_through     records where values that look like credentials were stored all the same
own_acts        records the acts of the command line without a running service, and the service's own
administration  the requests of operators about the log
"""
