"""The names and forms of messages on the bus, which services and clients share.

subjects         the names of subjects, streams and buckets, made of one prefix
headers          the headers of commands and queries
commands         commands and their answers
log_place        places in the log
stream_metadata  the metadata of the stream of events
"""
