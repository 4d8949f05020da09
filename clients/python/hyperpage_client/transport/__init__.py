"""nats-py, made faster and more robust. No other package of ours touches its private parts.

connecting         making a connection, which is made again or not after it is lost
access             the address of a nats-server, the credentials for it, and the authorities to trust
explained          the errors of a connection, in words
connection         a client that takes whole messages without a task for each, and stays connected for ever
early              direct messages that are handled as they come from the socket
ending             closing a connection's socket, in a bounded time
sending            messages that are published in groups
protocol           NATS's protocol as it is read and written
jetstream_answers  the answers of JetStream
nkeys              keys that prove which user connects
pulls              requests to a consumer, and how many messages are still to come
"""
