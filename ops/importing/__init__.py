"""Reads a database of the system before this one, and turns its rows into events.

- `old_tables`: what its tables are called and made of, in each of their variants
- `source`: its file, opened without being changed, and its rows one after the other
- `commands`: what a row asks for here, or why it cannot be taken
- `importer`: all rows in portions, and the report
- `destinations`: where the portions go: a stopped store, a running service, or nowhere, to try it out

A row is one command with an id made from its table and key, so that a second run knows it again.
"""
