"""Structs and methods of the Python client.

modules  the modules for our own aggregates
module   one module for installed aggregates
shapes   the sources of structs
tables   the sources of tables' classes, with a method for each command and query
types    types, as they are written in a source
layout   imports, blank lines and line breaks, as a formatter makes them
"""
