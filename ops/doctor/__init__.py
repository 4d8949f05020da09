"""`hyperpage doctor`: the checks that an operator would do by hand, with hints on what to do.

finding      the result of one check
machine      rights of files, room on disks, the time of a sync
store        the file: its shape, every page and index, how fast it is read
backups      a backup is made, restored into scratch, compared and verified; how far a restore reaches
schemas      whether the schemas of configurations would be accepted today
audit        the audit log, line by line
running      the running service's own report
examination  all checks, in order
"""
