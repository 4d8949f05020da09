"""A lake as it lies on disk and is read.

layout     what is where in a lake
manifest   what belongs to it: `lake.json`
files      its files, written whole or not at all
columns    the columns of its log, its tables and its row versions; literals are values in its SQL
times      how its times are shown, grouped and read: in UTC, or in a zone
locks      who may do what with it at the same time
catalogue  the views and macros over a lake
session    a connection that has them: `connect`
database   the same views for any DuckDB, and one file to hand around
errors     what goes wrong
"""
