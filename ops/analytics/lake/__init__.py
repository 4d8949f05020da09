"""A lake: its files on disk, and how they are read.

layout     the folders and files of a lake
manifest   `lake.json`, which lists the files that belong to a lake
files      files that are written whole or not at all
columns    the columns of its log, its tables and its row versions; values and names in SQL
times      how times are shown, grouped and read: in UTC, or in a zone
locks      locks between exports and readers
catalogue  the views and macros over a lake
session    a connection that has them: `connect`
database   the same views for any DuckDB, and a single file that needs no lake
errors     `AnalyticsError`
"""
