"""Bytes of a store, its backups and its archive are overwritten while no service runs.

overwriting  one copy or several, in each kind of place
"""
