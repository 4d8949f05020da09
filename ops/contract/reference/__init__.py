"""The page `docs/reference.md`, made of the catalogue.

page        the whole page
fields      the tables of bodies' fields
meanings    the meaning of each field and rule
answers     the answers to queries
"""
