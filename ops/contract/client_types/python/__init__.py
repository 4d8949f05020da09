"""Structs and methods of the Python client.

modules  those of our own aggregates, module by module
module   those of aggregates of others, as one module
shapes   structs, as the client has them
tables   what can be asked of a table, as methods
types    types, as they are written
layout   lines and imports, as a formatter would have them
"""
