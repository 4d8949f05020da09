"""The write path: in from NATS, into the log, out to NATS. A package may import those on lines below its own.

worker       works jobs off, on top of the client
client       the client, with the domain's own words       serving      requests in, answers out
event_store  the log for the library `eventsourcing`       publishing   events and mirrors out
             (on the same line)                            replication  the log for several machines
writing      the one thread that writes
log          the `events` table, read and verified         broker       the embedded nats-server
contract     the forms of all messages                     transport    JetStream's API

Under all of them: incident, kept_files, measures; and `hyperpage_client`, which other programs use, too.
"""
