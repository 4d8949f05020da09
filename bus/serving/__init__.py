"""Requests in, answers out.

intake           commands as requests, and batches; decoding makes submissions of messages
durable          a folder: commands that a stream keeps until they are answered
dead_letters     commands that could not be carried out
admission        who comes in with a request; what somebody was not let do is told
permissions      what users of limited rights may send and ask
stream_access    JetStream's API as users have it, by stream_scope and stream_requests
consumer_names   users' consumers; consumer_requests makes them
queries          a folder: questions about the state, answered beside the writer
leader_door      what came to a member, and is for who leads
administration   requests of operators alone; audit records them
discovery        the endpoints, as tools find them on the network
prefix_claim     one prefix is served by one service
"""
