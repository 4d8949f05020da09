"""Connections as bytes on sockets, from any address of the loopback."""

import asyncio
import contextlib

from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.asking import HttpTalk

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
SET = b"POST /api/v1/app_state/set HTTP/1.1\r\n" + HOST + JSON

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(talk: HttpTalk, host: str = "127.0.0.1") -> Streams:
    """A connection from an address of the loopback."""
    assert talk.service.http is not None
    address, port = talk.service.http.listens_at[:2]
    return await asyncio.open_connection(address, port, local_addr=(host, 0))


async def answered(talk: HttpTalk, request: bytes, host: str = "127.0.0.1") -> bytes:
    """The answer on a connection of its own, until that ends."""
    reader, writer = await connected(talk, host)
    answer = b""
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            while part := await reader.read(65_536):
                answer += part
    writer.close()
    return answer


def get(path: str, *headers: bytes) -> bytes:
    """A request after which the connection ends."""
    return (
        b"GET %s HTTP/1.1\r\n" % path.encode() + HOST + b"Connection: close\r\n" + b"".join(headers) + b"\r\n"
    )


def command(number: int) -> bytes:
    """A command, after which the connection ends."""
    body = b'{"key":"alive","value":%d}' % number
    return SET + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
