"""The write path: in from NATS, into the log, out to NATS. A room may import those on floors below it.

worker       works jobs off, on top of the client
client       what other programs send and follow with      serving     requests in, answers out
event_store  the log for the library `eventsourcing`       publishing  events and mirrors out
writing      the one thread that writes
log          the `events` table, read and verified         broker      the embedded nats-server
contract     the names and forms of all that is said       transport   nats-py, made quick and lasting

Under all of them: incident, documents, identifiers, kept_files, measures, tasks, waiting.
"""
