"""HTTP clients for services without TLS.

httpx reads all certificate authorities of the machine for each client, which takes longer than most requests.
These clients trust no authority, and read none.
"""

import ssl

import httpx

_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def asynchronous_client(url: str = "", *, timeout: float = 20) -> httpx.AsyncClient:
    """A client of the service at `url`, which waits for `timeout` seconds."""
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=timeout, verify=_TRUSTS_NOBODY)


def client(url: str = "", *, timeout: float = 60, idle_seconds: float = 5) -> httpx.Client:
    """The same for callers without an event loop; keeps an idle connection for `idle_seconds`."""
    limits = httpx.Limits(keepalive_expiry=idle_seconds)
    return httpx.Client(base_url=url, trust_env=False, timeout=timeout, verify=_TRUSTS_NOBODY, limits=limits)
