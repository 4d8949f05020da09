"""The nats-server that a service runs for itself.

server          starts, watches and ends it
child           its process; tether kills it when the service's process ends in any way
home            its folder: configuration, credentials, lock
accounts        its configuration: what each user may publish and read
logins          the passwords of the users that the service makes itself
users           its users
synced_streams  syncs the files of streams that it does not sync itself
"""
