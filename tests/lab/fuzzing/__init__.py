"""Bytes that nobody would send: everything that reads some either takes them, or refuses them as it says.

mutating     bytes a bit beside those that are sound
over_nats    what comes over NATS: commands, headers, queries, requests of the operator, events of a stream
in_files     what is read from files: metadata, segments, tokens, users, settings, old databases
experiments  both of them as experiments
"""
