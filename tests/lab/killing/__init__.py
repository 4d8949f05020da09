"""Processes that are killed while they work.

kills      `kill -9` of the service, its nats-server or both, under load
histories  the same, and what clients saw of a few keys is linearizable
upgrades   a store of an older version, killed or out of room while it is brought up to date
"""
