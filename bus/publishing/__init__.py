"""All that goes out: every event once and in order, and the mirrors of configurations and states.

relay           keeps the stream of events equal to the log
event_stream    that stream: made, looked at, refilled
stream_state    where it stands beside the log
stream_losses   what it lacks that no limit has sent away
stream_audit    whether each message of it is what the log says
event_messages  events as messages, made by SQLite
publisher       many messages under way at once, in order
incarnation     who serves the store now, where several could
mirror          one KV bucket that is kept equal to a table; mirrors has all of them
"""
