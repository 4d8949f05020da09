"""Aggregates that other distributions bring: found, loaded, and looked at before anything is served.

The one room of the domain that looks outside: what it finds is as pure as the rest has to be.

error     why one cannot be taken in
loading   finds them by entry points and by a variable
reserved  names that are taken
checking  whether one may be served beside the others
library   what becomes of a class of the library `eventsourcing`
"""
