"""The part of NATS that only a service needs; clients' part is in `hyperpage_client.transport`.

queue_age        how long messages have waited before they are read from a connection
jetstream        requests to JetStream
ensured_streams  makes sure that a stream exists as it should; stream_limits says how much it may hold
"""
