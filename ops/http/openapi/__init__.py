"""The document `/openapi.json`.

document  the whole of it
places    every path, with what it takes and answers
messages  commands and queries among them
parts     what they are made of
route     where it is served
"""
