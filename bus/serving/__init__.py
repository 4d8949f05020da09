"""Requests in, answers out.

intake           commands as requests, and batches; decoding makes submissions of messages
durable          a folder: commands that a stream keeps until they are answered
dead_letters     commands that could not be carried out
admission        the sender of a request and its rights; refused requests go to the audit log
permissions      the commands and queries that a user of limited rights may send
stream_access    JetStream's API for users; stream_scope and stream_requests limit what they may ask
consumer_names   the names of users' consumers; consumer_requests makes the consumers
queries          a folder: questions about the state, answered beside the writer
leader_door      how a member passes requests on that only the leader may answer
administration   requests that only operators may send; audit records them
discovery        the endpoints, as tools find them on the network
prefix_claim     the check that only one service serves a prefix
"""
