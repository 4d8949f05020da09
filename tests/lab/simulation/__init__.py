"""A deterministic simulation: the product's own write path on a model of everything around it.

scheduler    one seeded scheduler for all loops, threads and times
determined   chance, time and threads of the product, taken from it
network      connections, whose bytes are late, in pieces, or never there
broker       a model of nats-server's protocol; jetstream, of its streams and consumers
disk         a disk under SQLite that tracks what was synced
service      the product's parts, tied together as in a service
machine      a machine that starts the service again and again
load         clients, their commands and their answers
faults       faults that may happen in a run
judging      checks of all answers and promises
run          one run, from its seed
"""
