"""The document `/openapi.json`.

document  the whole of it, and its route
messages  commands and queries, as operations
parts     operations, schemas, problems and headers
"""
