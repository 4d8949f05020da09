"""The page `docs/reference.md`, made of the catalogue.

page        the whole of it
fields      what a body's fields are
meanings    what each of them means
answers     what queries answer
"""
