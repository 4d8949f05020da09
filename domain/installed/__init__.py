"""Aggregates that other distributions bring: found, loaded, and checked before anything is served.

This is the only package of the domain that reads the environment. The aggregates that it finds have to be as
pure as ours.

error     the error of an aggregate that cannot be served
loading   finds them by entry points and by a variable
reserved  names that are taken
checking  whether one may be served beside the others
library   makes deciders of classes of the library `eventsourcing`
"""
