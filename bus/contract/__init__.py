"""The forms of what is said on the bus, as a service has them.

`hyperpage_client.contract` has those that clients know, too.

senders       who sent a message, and where its answer goes
rights        what a user may do
log_places    how new what is read has to be
names         the names of commands and queries, and what may have been meant by others
codec         bodies of commands and answers, read and written
violations    all that is wrong with a body that was refused
log_requests  requests to the log
log_answers   what they are answered with
"""
