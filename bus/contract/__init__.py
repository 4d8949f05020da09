"""The names and forms of all that is said on the bus. Both sides stand on it, a service and its clients.

subjects         the names of subjects, streams and buckets, made of one prefix
senders          who sent a message, and where its answer goes
rights           what a user may do
headers          the headers of commands and queries
log_places       how new what is read is, and has to be
names            the names of commands and queries, and what may have been meant by others
codec            bodies of commands and answers, read and written
violations       all that is wrong with a body that was refused
log_requests     requests to the log
log_answers      what they are answered with
stream_metadata  the metadata of the stream of events
"""
