"""nats-py, made quick and lasting: the only room that touches what is private in it.

connecting         a connection that stands, however it shall last
connection         a client that takes whole messages without a task for each, and stays connected for ever
protocol           NATS's protocol as it is read and written
jetstream          what is asked of JetStream; jetstream_answers is what it says
pulls              what a consumer is asked for, and what of it is still to come
ensured_streams    a stream is there, as it should be
"""
