"""`hyperpage doctor`: what an operator would look at by hand, and what to do about what is found.

finding      what is said of one thing that was looked at
machine      rights, room on disks, how fast they say that they have something
store        the file: its shape, every page and index, how fast it is read
backups      a backup is made, restored into scratch, compared and verified; how far a restore reaches
schemas      whether the schemas of configurations would be taken today
audit        the audit log, line by line
running      what the running service says of itself
examination  all of it, in order
"""
