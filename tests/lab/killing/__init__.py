"""Processes that are killed while they work.

kills      `kill -9` of the service, its nats-server or both, under load
histories  the same, and the histories that clients saw of a few keys are linearizable
upgrades   a store of an older version, killed or out of room during its migration
"""
