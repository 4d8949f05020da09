"""Clients for services that are asked in clear.

httpx reads all authorities of the machine for each client, whatever it is for, which takes longer than most
of what is asked. These trust nobody, and read none.
"""

import ssl

import httpx

_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def asynchronous_client(url: str = "", *, timeout: float = 20) -> httpx.AsyncClient:
    """A client of what is at `url`, which waits for so many seconds."""
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=timeout, verify=_TRUSTS_NOBODY)


def client(url: str = "", *, timeout: float = 60) -> httpx.Client:
    """The same for who has no event loop."""
    return httpx.Client(base_url=url, trust_env=False, timeout=timeout, verify=_TRUSTS_NOBODY)
