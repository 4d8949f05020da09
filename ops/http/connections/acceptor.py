"""Accepts connections, also when files run out: `Acceptor`.

Asyncio's own server stops for a second when files run out, and does not count connections that never finish
their TLS handshake. Here each connection has a seat from the moment at which it is accepted.
"""

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from ops.http.connections.crowd import Crowd, Seat
from ops.store.troubles import TOO_MANY_FILES

# How many connections may wait to be accepted; the kernel may allow fewer (net.core.somaxconn).
BACKLOG = 1_024
# How many connections are accepted in one turn of the event loop, so that other tasks get theirs.
AT_ONCE = 64
HANDSHAKE_SECONDS = 10.0
# How long a TLS connection may take to shut down.
FAREWELL_SECONDS = 5.0
# The kernel's buffers for each connection and direction; it doubles these sizes.
RECEIVE_BYTES = 64 * 1024
SEND_BYTES = 64 * 1024
# How many files are left for the store, its readers, the broker and backups.
FILES_FOR_OTHERS = 256
# Stands for no descriptor.
NO_FILE = -1
_OUT_OF_FILES = TOO_MANY_FILES | {errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger(__name__)


def listen(bound: socket.socket) -> None:
    """Has a bound socket listen; connections wait until they are accepted.

    Raises:
        OSError: another process, which bound the address at the same time, listens already.
    """
    for option, size in ((socket.SO_RCVBUF, RECEIVE_BYTES), (socket.SO_SNDBUF, SEND_BYTES)):
        bound.setsockopt(socket.SOL_SOCKET, option, size)
    bound.setblocking(False)
    bound.listen(BACKLOG)


class Acceptor:
    """Accepts the connections of a listening socket; `connect` makes the protocol for a seat.

    `context` is called for each connection: `None` means no TLS.
    """

    def __init__(
        self,
        listener: socket.socket,
        crowd: Crowd,
        connect: Callable[[Seat], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._listener = listener
        self._crowd = crowd
        self._connect = connect
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._warned_at = -60.0
        # A spare file. When files run out, it is closed for a moment, to accept a connection and close it.
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accepts no more connections; open ones stay."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._give_up_spare()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Returns when no connection is still being opened."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                self._free_a_file(error)
                return
            self._seat(accepted, address[0])

    def _seat(self, accepted: socket.socket, host: str) -> None:
        def cut() -> None:
            # Used until there is a transport: the handshake then reads the end of the stream.
            with suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)

        seat = self._crowd.enter(host, cut)
        if seat is None:
            accepted.close()
            return
        task = self._loop.create_task(self._open(accepted, seat), name="opening a connection")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, seat: Seat) -> None:
        accepted.setblocking(False)
        context = self._context()
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._connect(seat),
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=None if context is None else FAREWELL_SECONDS,
            )
        except OSError as error:
            # The client does not speak TLS, refuses the certificate, or is gone.
            logger.debug("a connection did not come to be: %s", error)
            self._crowd.leave(seat)
        except BaseException:
            self._crowd.leave(seat)
            raise

    def _free_a_file(self, error: OSError) -> None:
        if self._loop.time() - self._warned_at >= 60.0:
            self._warned_at = self._loop.time()
            logger.warning("HTTP connections end for new ones: %s; see LimitNOFILE", error.strerror)
        # The ended connection's file is free in the next turn of the event loop, which calls `_accept` again.
        if self._crowd.make_room():
            return
        self._give_up_spare()
        with suppress(OSError):
            self._listener.accept()[0].close()
        # Another thread may have taken the file. Then there is no spare one until this succeeds a next time.
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _give_up_spare(self) -> None:
        if self._spare != NO_FILE:
            os.close(self._spare)
            self._spare = NO_FILE


def connections_possible(wanted: int) -> int:
    """For how many of the wanted connections there are files, after raising this process's soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_FOR_OTHERS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max(soft - FILES_FOR_OTHERS, soft // 2)
    logger.warning(
        "there are files for %d connections over HTTP and not for %d; raise LimitNOFILE", possible, wanted
    )
    return possible
