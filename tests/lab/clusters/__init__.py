"""Several services and nats-servers as processes, each on a machine of its own as far as this one allows it.

networks       addresses for processes that can be cut off from each other
processes      nats-servers and members, each started again when it ends, as a supervisor does
faults         what is done to them, and undone
judging        what must hold of all members together
under_faults   the experiment: random faults, several at once, healed again and again
failover       how long nobody answers when the one that leads is killed, or hands over
"""
