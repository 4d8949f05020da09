"""The HTTP server: `HttpServer`. It listens in the loop of the service, which it may outlive.

A service comes (`backend.attach`) and goes (`backend.detach`) with each restore; requests that come between
two are told to try again, and connections stay.
"""

import asyncio
import logging
import socket
from contextlib import suppress

import uvicorn

from bus.tasks import cancel
from ops.http.access import Access
from ops.http.app import application
from ops.http.backend import Backend
from ops.settings import Settings

USUAL_PORT = 8822
# How many connections may wait to be accepted.
BACKLOG = 256
KEEP_ALIVE_SECONDS = 30
# What is still being answered when the server stops has so long.
STOP_SECONDS = 2

logger = logging.getLogger(__name__)


class HttpServerError(RuntimeError):
    """The HTTP server cannot listen; the message says why and what to do."""


class HttpServer:
    """Listens from the first `start` to `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.backend = Backend()
        self.access = Access()
        self.url = ""
        self._server: uvicorn.Server | None = None

    async def start(self) -> None:
        """Listens when this returns, as it may have before.

        Raises:
            HttpServerError: the address is taken, or is none of this machine's.
        """
        if self._server is not None:
            return
        bound = self._bound()
        host, port = bound.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            application(self.backend, self.access),
            lifespan="off",
            # Ours has a handler already; a line for each request is a reverse proxy's to write.
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            # Anybody could say that a request came from elsewhere.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        # It would say at every start and stop what we say ourselves.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        # Not `serve`: that takes the signals, which are the command line's.
        self._running = asyncio.create_task(self._server._serve([bound]), name="the HTTP server")
        while not self._server.started:
            if self._running.done():
                self._running.result()
                raise HttpServerError(f"the HTTP server ended at its start, at {self.url}")
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Ends, after what is being answered."""
        if self._server is None:
            return
        self._server.should_exit = True
        with suppress(Exception):
            async with asyncio.timeout(2 * STOP_SECONDS):
                await asyncio.shield(self._running)
        await cancel(self._running)

    def _bound(self) -> socket.socket:
        host, asked_port = self._settings.http_address
        ports = [USUAL_PORT, 0] if asked_port is None else [asked_port]
        for port in ports:
            try:
                return _bind(host, port)
            except OSError as error:
                if port == ports[-1]:
                    raise HttpServerError(
                        f"HTTP cannot listen at {host}:{port}: {error.strerror or error};"
                        " name another address with --http, or none with --no-http"
                    ) from error
        raise AssertionError("there is a port to try")


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # One that just stopped leaves its port in use for a minute otherwise.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound
