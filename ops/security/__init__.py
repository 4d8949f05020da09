"""Who may use a service: users of their own, beside the application's and the operator's.

users     kept in the data directory: names, public keys, rights
registry  those of a running service, and the broker's
"""
