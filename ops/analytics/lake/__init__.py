"""A lake as it lies on disk and is read.

layout        what is where in a lake, and the manifest that says so
locks         who may do what with it at the same time
catalogue     the views and macros over a lake
session       a connection that has them: `connect`
database      the same views for any DuckDB, and one file to hand around
requirements  what has to be installed for all of this
"""
