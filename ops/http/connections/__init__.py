"""Connections, below all that is HTTP's meaning.

protocol        one connection: uvicorn's protocol, with deadlines
strict_reading  what two parsers could read in two ways is refused
"""
