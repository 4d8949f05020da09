"""Who may use a service: users of their own, beside the application's and the operator's.

users         kept in the data directory: names, public keys, rights
sharing       who connects as the application's user, which all may share
refusals      who the broker did not let in, for the audit log
registry      those of a running service, and the broker's
outside_nats  what an operator's own nats-server has to know of all these
"""
