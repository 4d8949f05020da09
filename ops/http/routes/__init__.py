"""The routes, by subject.

messages  commands and queries
events    events, as they come
health    liveness, readiness, metrics
session   a browser's session
admin     what only an operator may ask
legacy    the paths of the system before this one
"""
