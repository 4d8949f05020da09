"""The store's file, between versions of this program.

check_upgrade   tries on a copy what this version would make of a store
migrate         brings the file to the shape that this version needs, or back
"""
