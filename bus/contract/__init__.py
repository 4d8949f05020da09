"""What is said on the bus, and under which names: both sides stand on it, a service and its clients.

subjects         the names of subjects, streams and buckets, made of one prefix
headers          the headers of commands
codec            bodies of commands and answers, read and written
log_requests     what is asked of the log
stream_metadata  what the stream of events says about itself
addresses        of brokers, as they may be shown
"""
