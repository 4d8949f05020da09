"""The forms of messages on the bus, as the service needs them.

`hyperpage_client.contract` has those that clients need, too.

senders       the sender of a message, and where its answer goes
rights        what a user may do
log_places    the place in the log that a query is to be read at, at least
names         the names of commands and queries, and suggestions for wrong ones
codec         bodies of commands and answers, read and written
violations    everything that is wrong with a body that was refused
log_requests  requests to the log
log_answers   the answers to them
"""
