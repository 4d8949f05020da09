"""The document `/openapi.json`, and the page `/docs` made from it.

page      the page, with the files that it loads
document  the whole document, and its route
messages  commands and queries, as operations
parts     operations, schemas, problems and headers
"""
