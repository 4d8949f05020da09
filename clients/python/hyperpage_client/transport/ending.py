"""Closing a connection's socket, in a bounded time.

It leans on the `_io_writer`, `_io_reader`, `connect_tls` and `wait_closed` of nats-py's `TcpTransport`, and
on the `_over_ssl` of asyncio's protocol behind them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from nats.aio.transport import TcpTransport

# How long an orderly close may take; then the socket is cut.
CLOSE_SECONDS = 1.0


def end_for_certain(transport: TcpTransport) -> None:
    """Makes sure that a socket closes in a bounded time, whatever the other side does.

    nats-py waits for ever for the close of a socket on which TLS was begun and not finished, and as long as
    the other side likes for the end of TLS, or for a full buffer to be sent.
    """
    begin_tls: Callable[..., Coroutine[Any, Any, None]] = transport.connect_tls
    wait_closed: Callable[[], Coroutine[Any, Any, None]] = transport.wait_closed

    async def connect_tls(*arguments: Any) -> None:
        assert transport._io_writer is not None, "it is connected"
        socket = transport._io_writer.transport
        try:
            await begin_tls(*arguments)
            # The protocol does not know of TLS: at its end, it would keep the socket half open, and warn.
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
                # All that wait for the end share one future, which a timeout here must not cancel.
                await asyncio.shield(wait_closed())
        except TimeoutError:
            if writer is not None:
                writer.transport.abort()

    transport.connect_tls = connect_tls  # type: ignore[assignment, method-assign]
    transport.wait_closed = closed  # type: ignore[method-assign]
