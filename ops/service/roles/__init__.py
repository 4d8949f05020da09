"""The parts of a service that depend on its role, leader or follower.

seeding     makes a member's file before it is opened, from a backup, the archive and the log
putting_right  repairs a file with events that the cluster went on without
getting_ready  repeats a request until JetStream answers
ground      the objects that parts of all roles use
cluster     a service as a member of a cluster, whose members follow one log
election    a member's part in electing the leader
turns       following and leading on one store, one after the other
following   reading a log that another member writes
trimming    deletes messages of the log that no member needs any more
sharing     a backup on the nats-servers, for members that reach no other one
leadership  deciding commands and publishing their events
"""
