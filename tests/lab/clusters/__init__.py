"""Several services and nats-servers as processes, each on a machine of its own as far as this one allows it.

networks       addresses for processes that can be cut off from each other
processes      nats-servers and members, each started again when it ends, as a supervisor does
faults         faults of these processes, and their undoing
judging        checks of all members together
under_faults   the experiment: random faults, several at once, healed again and again
failover       how long no member answers when the leader is killed, or hands over
"""
