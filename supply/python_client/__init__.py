"""Writes the parts of the Python client that the catalogue says: `make client`.

__main__  puts the modules into the client
modules   every module that is made
shapes    structs, as the client has them
tables    what can be asked of a table, as methods
types     types, as they are written
"""
