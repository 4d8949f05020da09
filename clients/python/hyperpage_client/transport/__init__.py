"""nats-py, made quick and lasting. No other room touches its private parts.

connecting         a connection that stands, with or without another after it is lost
access             by what one is known to a nats-server, and whom one trusts to be it
explained          what went wrong with a connection, in words
connection         a client that takes whole messages without a task for each, and stays connected for ever
early              direct messages that are handled as they come from the socket
ending             the end of a connection's socket, which comes for certain
sending            messages that are published in groups
protocol           NATS's protocol as it is read and written
jetstream_answers  what JetStream says
nkeys              keys that show who connects
pulls              requests to a consumer, and how much of them is still to come
"""
