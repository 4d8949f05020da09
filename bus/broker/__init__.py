"""The nats-server that a service runs for itself.

server    started, watched, ended
child     its process; tether takes it down with ours, however that ends
home      its folder: configuration, credentials, lock
accounts  who may publish and read what
logins    the passwords of those that it makes itself
users     who they are
synced_streams  what it does not sync of the streams is on disk
"""
