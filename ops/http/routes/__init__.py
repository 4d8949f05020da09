"""The routes, by subject.

api        the list of all routes of the API
messages   commands and queries
events     events as they come
streaming  server-sent events, whatever they tell
health     liveness, readiness, metrics
session    a browser's session
admin      administration and backups
legacy     the paths of the system before this one
"""
