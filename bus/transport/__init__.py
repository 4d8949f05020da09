"""What a service has of NATS beside its clients' share, `hyperpage_client.transport`.

queue_age        how long what is read from a connection has waited already
jetstream        requests to JetStream
ensured_streams  a stream is there, as it should be; stream_limits says how much it may hold
"""
