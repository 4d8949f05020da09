"""The write path: in from NATS, into the log, out to NATS."""
