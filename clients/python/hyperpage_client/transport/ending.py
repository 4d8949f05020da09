"""The end of a connection's socket, which comes for certain.

It leans on the `_io_writer`, `_io_reader`, `connect_tls` and `wait_closed` of nats-py's `TcpTransport`, and
on the `_over_ssl` of asyncio's protocol behind them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from nats.aio.transport import TcpTransport

# A connection that is given up is wound up for so long, and then cut.
CLOSE_SECONDS = 1.0


def end_for_certain(transport: TcpTransport) -> None:
    """Has a socket end, whoever is on the other side.

    nats-py waits for ever for the end of one on which TLS was begun and not finished, and as long as the
    other side likes where TLS or a full buffer is to be wound up.
    """
    begin_tls: Callable[..., Coroutine[Any, Any, None]] = transport.connect_tls
    wait_closed: Callable[[], Coroutine[Any, Any, None]] = transport.wait_closed

    async def connect_tls(*arguments: Any) -> None:
        assert transport._io_writer is not None, "it is connected"
        socket = transport._io_writer.transport
        try:
            await begin_tls(*arguments)
            # It was begun behind the protocol's back, which would keep half of it open at its end, and warn.
            transport._io_writer._protocol._over_ssl = True  # type: ignore[attr-defined]
        except BaseException as error:
            socket.abort()
            transport._io_reader = transport._io_writer = None
            if isinstance(error, TimeoutError):
                raise ConnectionError("it says that it has TLS, and does not begin with it") from None
            raise

    async def closed() -> None:
        writer = transport._io_writer
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                # All who wait for the end share one future, which one that is cancelled would cancel.
                await asyncio.shield(wait_closed())
        except TimeoutError:
            if writer is not None:
                writer.transport.abort()

    transport.connect_tls = connect_tls  # type: ignore[assignment, method-assign]
    transport.wait_closed = closed  # type: ignore[method-assign]
