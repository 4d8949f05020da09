"""Reads a database of the system before this one, and turns its rows into events.

- `old_tables`: its tables and their columns, in each of their variants
- `source`: its file, opened without being changed, and its rows one after the other
- `commands`: the command of a row, or the reason why it cannot be imported
- `importer`: imports all rows in portions, and makes the report
- `destinations`: a stopped store, a running service, or a trial that stores nothing

Each row becomes one command. Its id is made from the row's table and key, so that a second run recognizes it.
"""
