"""Many connections that do little, as a process of its own: 500 slow ones of any kind, and 500 idle ones.

    python -m tests.support.programs.crowding_program PORT ADDRESS,ADDRESS…

It prints a line once all have been open, and goes on until it is killed. A connection that the service ends
is opened again.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Awaitable, Callable

HOST = b"Host: localhost\r\n"
SET = b"POST /api/v1/app_state/set HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
FORM = b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
COUNT = 500
# The pause of a slow connection before its next byte.
DRIP_SECONDS = 0.5

Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def drips(first: bytes, drop: bytes) -> Visit:
    """Sends a beginning, and then a few bytes again and again, until the connection ends."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not reader.at_eof():
            writer.write(drop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRIP_SECONDS):
                    await reader.read(65_536)

    return visit


def sips(first: bytes) -> Visit:
    """Sends a request, and reads single bytes of the answer again and again, until the connection ends."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            if not await reader.read(1):
                return
            await asyncio.sleep(DRIP_SECONDS)

    return visit


SLOW = (
    drips(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Slow: ", b"a"),
    drips(b"GET /livez HTTP/1.1\r\n" + HOST, b"A: a\r\n"),
    drips(SET + b"Content-Length: 100000\r\n\r\n{", b" "),
    drips(FORM + b"Content-Length: 100000\r\n\r\n", b"a"),
    drips(SET + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    drips(SET + b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n", b""),
    drips(b"GET /readyz HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n", b"a"),
    drips(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n", b"a"),
    sips((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 10),
    sips(b"GET /api/v1/events?after=0 HTTP/1.1\r\n" + HOST + b"\r\n"),
)
IDLE = (drips(b"", b""), drips(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", b""))


async def main(port: int, addresses: list[str]) -> None:
    there = 0
    all_are_there = asyncio.Event()

    async def come(visit: Visit, address: str) -> None:
        nonlocal there
        is_first = True
        while True:
            with contextlib.suppress(OSError):
                # A small buffer, so that unread bytes stay with the sender.
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(address, 0), limit=1
                )
                there += is_first
                is_first = False
                if there == 2 * COUNT:
                    all_are_there.set()
                try:
                    await visit(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(DRIP_SECONDS)

    visits = [
        *itertools.islice(itertools.cycle(SLOW), COUNT),
        *itertools.islice(itertools.cycle(IDLE), COUNT),
    ]
    tasks = [asyncio.create_task(come(*one)) for one in zip(visits, itertools.cycle(addresses))]
    await all_are_there.wait()
    print("all are there", flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2].split(",")))
