"""Bytes that no client would send: every reader either accepts them, or refuses them as it declares.

mutating     changes of sound bytes
over_nats    readers of NATS messages: commands, headers, queries, an operator's requests, events of a stream
in_files     readers of files: metadata, segments, tokens, users, settings, old databases
experiments  both of them as experiments
"""
