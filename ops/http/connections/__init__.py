"""Connections, below all that is HTTP's meaning.

acceptor        accepts them, and goes on accepting whatever happens
crowd           how many there are, of whom, and which one gives way to a new one
protocol        one connection: uvicorn's protocol, with deadlines
strict_reading  what two parsers could read in two ways is refused
tls             certificates from files that may change, and the names in those of clients
"""
