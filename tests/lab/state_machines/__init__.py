"""State machines of Hypothesis on real parts, each with a model of a few lines that gives the right outcome.

playing      plays a machine with chance that a seed repeats
keys         the model of a store: the values of each key, version by version, and each answer
storing      a store: groups, batches, ids again, commits that fail, new starts, rebuilds, backups
restoring    restores to any moment, from backups and an archive with some damage
relaying     a relay, and faults of its stream and its nats-server
replicating  files that lead and follow, and faults of the log between them
experiments  all of them, as experiments of the lab
"""
