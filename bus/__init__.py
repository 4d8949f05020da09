"""The write path: in from NATS, into the log, out to NATS. A package may import those of the groups below it.

worker       works jobs off, on top of the client

client       the client, with the domain's own words
serving      requests in, answers out
publishing   events and mirrors out
replication  the log for several machines
event_store  the log for the library `eventsourcing`

writing      the one thread that writes

log          the `events` table, read and verified
broker       the embedded nats-server

contract     the forms of all messages
transport    JetStream's API

Under all of them: incident, kept_files, measures; and `hyperpage_client`, which other programs use, too.
"""
