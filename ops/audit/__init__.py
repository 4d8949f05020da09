"""The audit log: who did what to the service, line by line, each with the hash of the one before.

entry           a line, and its hash
files           the files of the log, and their lines as they are read
trail           appends lines, also from several processes at once
verification    whether the lines are those that were written
listing         lines that somebody looks for
repeats         what comes too often is counted, so that nobody fills the disk
recorder        what a running service records
let_through     what looks like a credential, and was stored all the same
own_acts        what the command line does without one
administration  what operators can ask of the log
"""
