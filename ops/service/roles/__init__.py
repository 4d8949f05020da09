"""What a service does by its role, apart from what every one does.

seeding     a member's file, before it is opened: of a backup, the archive and the log
putting_right  a file with events that the others went on without
getting_ready  asking a JetStream that is not there yet
ground      what the parts stand on, whatever the role
cluster     a service among others that follow one log
election    who of them leads: a member's part in it
turns       following and leading on one store, one after the other
following   reading a log that another one writes
trimming    what of the log nobody needs any more, goes
sharing     a backup on the nats-servers, for members that reach no other one
leadership  deciding commands and publishing what became of them
"""
