"""A deterministic simulation: the product's own write path on a model of everything around it.

scheduler    one seeded scheduler for all loops, threads and times
determined   chance, time and threads of the product, taken from it
network      connections, whose bytes are late, in pieces, or never there
broker       a model of nats-server's protocol; jetstream, of its streams and consumers
disk         a disk under SQLite that knows what was synced
service      the product's parts, tied together as in a service
machine      where it is started again and again
load         what clients do, and what they were told
faults       what may happen
judging      whether all of that is so
run          one run, from its seed
"""
