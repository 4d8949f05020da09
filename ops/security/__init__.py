"""The users of a service: users of their own, beside the application's and the operator's.

users         the users, as the data directory keeps them: names, public keys, rights
sharing       notes the programs that connect as the application's user, which all may share
refusals      records log-ins that the broker refused in the audit log
registry      the users of a running service, which it passes on to the broker
outside_nats  the configuration of users for an operator's own nats-server
"""
