"""The HTTP server: `HttpServer`. It runs in the service's event loop, and outlives a service that ends.

Each restore detaches the old service (`backend.detach`) and attaches a new one (`backend.attach`). In
between, requests are told to try again, and connections stay.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import msgspec
import uvicorn

from bus.serving.audit import Act, Actor, summary
from hyperpage_client.tasks import Tasks, cancel
from ops.audit.files import AuditError
from ops.audit.listing import ListAudit, listed
from ops.audit.recorder import Recorder
from ops.audit.trail import audit_trail
from ops.health.access import HTTP_OPEN, AccessStanding
from ops.http.access.authentication import Access
from ops.http.access.tokens import Token
from ops.http.app import application
from ops.http.backend import Backend
from ops.http.connections.acceptor import Acceptor, connections_possible, listen
from ops.http.connections.crowd import Crowd, Seat
from ops.http.connections.protocol import Connection
from ops.http.connections.tls import Certificates, TlsError
from ops.http.routes.streaming import Slots
from ops.http.routing import RouteEntry
from ops.metrics.http_counts import HttpCounts
from ops.settings import Settings
from ops.settings_sources import http_address

USUAL_PORT = 8822
KEEP_ALIVE_SECONDS = 30
# How long requests under way may take to end when the server stops.
STOP_SECONDS = 2
WATCH_SECONDS = 1.0
# How many of the last acts of a kind are searched for a token's.
RECENT_ACTS = 200
UNKNOWN = "unknown"

logger = logging.getLogger(__name__)


class HttpServerError(RuntimeError):
    """The HTTP server cannot listen; the message says why, `hint` what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class HttpServer:
    """Listens from the first `start` to `stop`. `pages` are routes beside those of the API."""

    def __init__(self, settings: Settings, pages: Sequence[RouteEntry] = ()) -> None:
        self._settings = settings
        self._pages = pages
        self.backend = Backend()
        self.audit = Recorder(audit_trail(settings.data, settings.audit_kept_mib))
        self.access = Access(
            settings.data, is_open=settings.http_open, on_change=self._record, note=self.audit.note
        )
        self.event_streams = Slots(settings.http_event_streams)
        self.counts = HttpCounts()
        self.crowd = Crowd(
            self.counts,
            most=connections_possible(settings.http_connections),
            most_of_one=settings.http_connections_of_one_address,
            proxies=settings.http_proxies,
        )
        self.url = ""
        self.listens_at: tuple[Any, ...] = ()
        self._server: uvicorn.Server | None = None
        self._noting = Tasks()
        self._certificates: Certificates | None = None

    async def start(self) -> None:
        """Starts the server, which listens when this returns; further calls do nothing.

        Raises:
            HttpServerError: the address is taken or not this machine's, or the certificate cannot be used.
        """
        if self._server is not None:
            return
        self._certificates = _certificates(self._settings)
        asked_host, asked_port = http_address(self._settings)
        host = self._allowed_host(asked_host)
        bound = _bound(host, asked_port)
        self.listens_at = bound.getsockname()
        self._refuse_to_be_open_beyond_this_machine(bound)
        port = self.listens_at[1]
        scheme = "http" if self._certificates is None else "https"
        self.url = f"{scheme}://{_in_url(_reachable(host))}:{port}"
        # The name has the port: browsers send a cookie to all ports of a host, where other services may be.
        self.access.cookie_name = f"hyperpage_session_{port}"
        config = uvicorn.Config(
            application(
                self.backend,
                self.access,
                self.event_streams,
                self.counts,
                pages=self._pages,
                hosts=[_in_url(asked_host), *self._settings.http_hosts],
                origins=self._settings.http_origins,
                any_host=not self._settings.http_hosts,
                requests_per_second=self._settings.http_requests_per_second,
                hsts_seconds=self._settings.http_hsts_seconds,
            ),
            interface="asgi3",
            lifespan="off",
            # Logging is set up already, and access logs are left to a reverse proxy.
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            # Trusted from known proxies only: otherwise any client could forge its address.
            proxy_headers=bool(self._settings.http_proxies),
            forwarded_allow_ips=list(self._settings.http_proxies),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        # Otherwise uvicorn logs every start and stop, too, which the service logs itself.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(config, self.crowd, self._certificates)
        # Not `serve`, which would install handlers for signals: the command line handles those.
        self._running = asyncio.create_task(self._server._serve([bound]), name="the HTTP server")
        self._recording = asyncio.create_task(self.audit.run(), name="the audit log")
        self._watching = asyncio.create_task(self._watch(), name="watching tokens and connections")
        while not self._server.started:
            if self._running.done():
                self._running.result()
                raise HttpServerError(
                    f"the HTTP server ended at its start, at {self.url}",
                    hint="name another address with --http, or none with --no-http",
                )
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stops the server, after the requests under way or `STOP_SECONDS`."""
        if self._server is None:
            return
        self._server.should_exit = True
        self.backend.close()
        with suppress(Exception):
            async with asyncio.timeout(2 * STOP_SECONDS):
                await asyncio.shield(self._running)
        await cancel(self._running)
        await cancel(self._watching)
        await cancel(self._recording)
        await self.audit.flush(last=True)
        self.crowd.end_all()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            # Each request refreshes the tokens, too; this records changes while no request comes.
            self.access.tokens.refresh()
            self.crowd.look_after_all()
            if self._certificates is not None:
                self._certificates.refresh()

    def _record(self, verb: str, token: Token) -> None:
        made = verb == "create"
        act = Act(
            at=(token.created_at if made else token.revoked_at) or 0,
            actor=Actor(name=token.created_by if made else token.revoked_by, via="command line"),
            action=f"token.{verb}",
            request=summary({"name": token.name, "role": token.role, "id": token.id}),
            outcome="done",
        )
        self.backend.record(act)
        self._noting.start(self._note_unless_recorded(act, token))

    async def _note_unless_recorded(self, act: Act, token: Token) -> None:
        """Records in the audit log a token that was made or revoked by an edit of the file by hand."""
        wish = ListAudit(action=act.action, limit=RECENT_ACTS)
        try:
            found = await asyncio.to_thread(listed, self.audit.trail.folder, wish)
        except AuditError as error:
            logger.warning("%s", error.strerror)
            return
        names = (f'"{token.name}"', f'"{token.id}"')
        if not any(name in one["request"] for one in found["items"] for name in names):
            by_hand = Actor(name=UNKNOWN, via="service")
            self.audit.note(msgspec.structs.replace(act, actor=by_hand, code="changed_by_hand"))

    def _refuse_to_be_open_beyond_this_machine(self, bound: socket.socket) -> None:
        # The bound address is checked, since a host name may resolve to any address.
        host = bound.getsockname()[0]
        if self._settings.http_open and not _is_loopback(host):
            bound.close()
            raise HttpServerError(
                f"HTTP may be open on this machine's own addresses alone, and {host} is none of them",
                hint="leave out --http-open, and make tokens with `hyperpage token create`",
            )

    def _allowed_host(self, host: str) -> str:
        """The host to listen at: the loopback only, as long as a token is needed and none was made."""
        if self._settings.http_open:
            logger.warning("%s; %s", HTTP_OPEN.message, HTTP_OPEN.hint)
            return host
        if self.access.tokens.were_made:
            return host
        logger.log(
            logging.INFO if _is_loopback(host) else logging.WARNING,
            "HTTP listens on the loopback only, since there is no token, and lets nobody in:"
            " `hyperpage token create NAME --role ROLE --data %s` makes one%s;"
            " `hyperpage console --data %s` prints a link to the console, which is good once",
            self._settings.data,
            "" if _is_loopback(host) else f", with which a new start listens at {host}",
            self._settings.data,
        )
        if _is_loopback(host):
            return host
        return "::1" if ":" in host else "127.0.0.1"

    @property
    def standing(self) -> AccessStanding:
        """Whether tokens are needed and known, for the health of the service."""
        return AccessStanding(is_open=self.access.is_open, problem=self.access.tokens.problem)


def _certificates(settings: Settings) -> Certificates | None:
    if (files := settings.http_tls) is None:
        return None
    try:
        return Certificates(*files)
    except TlsError as error:
        raise HttpServerError(str(error), hint=error.hint) from error


class _Server(uvicorn.Server):
    """Uvicorn's server, whose connections come from an `Acceptor`. It relies on `startup` and `servers`."""

    def __init__(self, config: uvicorn.Config, crowd: Crowd, certificates: Certificates | None) -> None:
        super().__init__(config)
        self._crowd = crowd
        self._certificates = certificates

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens on the sockets from now on."""

        def connect(seat: Seat) -> Connection:
            return Connection(
                config=self.config,
                server_state=self.server_state,
                app_state={},
                seat=seat,
                crowd=self._crowd,
                certificates=self._certificates,
            )

        def context() -> ssl.SSLContext | None:
            return None if self._certificates is None else self._certificates.context

        # Acceptors have the methods that uvicorn calls on a server: `close` and `wait_closed`.
        self.servers = [
            Acceptor(one, self._crowd, connect, context)  # type: ignore[misc]
            for one in sockets or ()
        ]
        self.started = True


def _bound(host: str, asked_port: int | None) -> socket.socket:
    ports = [USUAL_PORT, 0] if asked_port is None else [asked_port]
    for port in ports:
        try:
            return _bind(host, port)
        except OSError as error:
            if port == ports[-1]:
                raise HttpServerError(
                    f"HTTP cannot listen at {_in_url(host)}:{port}: {error.strerror or error}",
                    hint="name another address with --http, or none with --no-http",
                ) from error
    raise AssertionError("there is a port to try")


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # Without this, a port stays in use for a minute after its server has stopped.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Two processes that start at once may both bind a port; only one of them can listen.
        listen(bound)
    except BaseException:
        bound.close()
        raise
    return bound


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reachable(host: str) -> str:
    """An address at which this machine reaches a server that listens at `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
