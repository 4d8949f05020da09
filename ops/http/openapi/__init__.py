"""The document `/openapi.json`, and the page `/docs` made of it.

page      the page, with the files that it loads
document  the whole of it, and its route
messages  commands and queries, as operations
parts     operations, schemas, problems and headers
"""
