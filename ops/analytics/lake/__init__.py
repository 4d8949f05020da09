"""A lake as it lies on disk and is read.

layout        what is where in a lake
manifest      what belongs to it: `lake.json`
files         its files, written whole or not at all
columns       the columns of its log, its tables and its row versions
locks         who may do what with it at the same time
catalogue     the views and macros over a lake; literals are values in their SQL
session       a connection that has them: `connect`
database      the same views for any DuckDB, and one file to hand around
requirements  what has to be installed for all of this
errors        what goes wrong
"""
