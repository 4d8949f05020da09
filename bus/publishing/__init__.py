"""Publishing: every event once and in order, and the mirrors of configurations and states.

relay           keeps the stream of events equal to the log
event_stream    makes, checks and refills that stream
stream_state    compares where the stream and the log are
stream_losses   messages that the stream lacks, although no limit removed them
stream_audit    compares each message of the stream with the log
event_messages  events as messages, made by SQLite
publisher       sends many messages at once, in order
incarnation     the check that only one service serves a store
mirror          one KV bucket that is kept equal to a table; mirrors has all of them
"""
