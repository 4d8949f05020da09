"""State machines of Hypothesis's on real parts, each with a model of a few lines that says what must come.

playing      plays a machine with chance that a seed repeats
keys         the model of a store: the values of each key, version by version, and each answer
storing      a store: groups, batches, ids again, commits that fail, new starts, rebuilds, backups
restoring    restores to any moment, of what is damaged here and there
relaying     a relay, and what may happen to its stream and its nats-server
replicating  files that lead and follow, and what may happen to the log between them
experiments  all of them, as the lab has them
"""
