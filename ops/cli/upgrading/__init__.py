"""The store's file, between versions of this program.

check_upgrade   what this version would make of a store, tried on a copy
migrate         brings it to the shape that this version needs, or back
"""
