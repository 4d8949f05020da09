"""The routes, by subject.

api        the list of all routes of the API
messages   commands and queries
events     events as they are committed
streaming  server-sent events of any kind
health     liveness, readiness, metrics
session    a browser's session
admin      administration and backups
legacy     the paths of the previous system
"""
