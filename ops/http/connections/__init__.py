"""Connections, below the meaning of requests.

acceptor        accepts connections, also when files run out
crowd           counts connections by address, and closes an idle one for a new one
protocol        one connection: uvicorn's protocol, with deadlines
strict_reading  refuses requests that two parsers could read in two ways
tls             certificates from files that may change, and the names in certificates of clients
"""
