"""How a service is reached: `open_broker` for NATS, `http_server` for HTTP."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec

from bus.broker.accounts import REFUSED_LOGINS, application_connects
from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS, WATCHER, BrokerUser, private_inbox
from bus.contract.subjects import ADMIN_INBOX
from bus.serving.audit import Act
from bus.serving.discovery import SERVICE_NAME
from bus.transport.connecting import NotConnectedError, connect
from bus.transport.connection import LeanClient
from ops.security.refusals import RefusedLogins
from ops.security.sharing import SharedUse
from ops.service.background import Background
from ops.service.errors import ServiceError
from ops.settings import Settings
from ops.store.data_directory import Admin

if TYPE_CHECKING:
    from ops.http.server import HttpServer

CONNECT_SECONDS = 10.0

logger = logging.getLogger(__name__)


async def connect_as(user: str, url: str) -> LeanClient:
    """A connection of one of the service's users, which is made again for ever once it stood.

    Raises:
        ServiceError: no nats-server lets us in.
    """
    try:
        return await connect(
            url,
            name=f"{SERVICE_NAME} {user}",
            inbox_prefix=private_inbox(user),
            within_seconds=CONNECT_SECONDS,
            # For ever: the broker may be away for long, and the store is read meanwhile.
            again_after_seconds=0.1,
            on_error=lambda said: logger.warning("nats: %s", said),
            # Subjects are made by `bus.contract.subjects`, or were checked by the broker.
            skip_subject_validation=True,
        )
    except NotConnectedError as error:
        reason = error.said or f"no answer within {CONNECT_SECONDS:g} s"
        raise ServiceError(f"no nats-server lets us in at {url.rpartition('@')[2]}: {reason}") from error


class Broker(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The broker of a service, and the service's own connections.

    `nats_server` is the embedded one; `None` where another is used, at `urls` for each kind of user.
    """

    nats_server: NatsServer | None
    urls: Mapping[str, str]
    relay: LeanClient
    responder: LeanClient

    def url_for(self, user: str) -> str:
        """The address with a user's credentials, as they are now."""
        return self.urls[user] if self.nats_server is None else self.nats_server.url_for(user)


async def open_broker(
    settings: Settings,
    users: Sequence[BrokerUser],
    sharing: SharedUse,
    note: Callable[[Act], None],
    stack: AsyncExitStack,
    background: Background,
) -> Broker:
    """The broker that the settings name, or an embedded one that `stack` ends.

    `sharing` hears who connects to the embedded one as the application's user, `note` whom it refuses.

    Raises:
        NatsServerError: the embedded one does not start.
        ServiceError: no nats-server lets us in.
    """
    nats_server, urls = None, {}
    if (url := settings.nats) is not None:
        urls = {RELAY: settings.nats_relay or url, RESPONDER: url, APP: url, ADMIN: url}
    else:
        nats_server = NatsServer(
            data=settings.data,
            names=settings.names,
            port=settings.nats_port,
            set_aside_bytes=settings.stream_limits.set_aside_bytes,
            users=users,
            renews_own_logins=True,
        )
        await stack.enter_async_context(nats_server)
        background.start(nats_server.supervise(), "the embedded nats-server")
        urls = {user: nats_server.url_for(user) for user in USERS}
    relay = await connect_as(RELAY, urls[RELAY])
    stack.push_async_callback(relay.close)
    responder = await connect_as(RESPONDER, urls[RESPONDER])
    stack.push_async_callback(responder.close)
    if nats_server is not None:
        watcher = await connect_as(WATCHER, urls[WATCHER])
        stack.push_async_callback(watcher.close)
        await sharing.watch(watcher, application_connects())
        await RefusedLogins(note).watch(watcher, REFUSED_LOGINS)
    return Broker(nats_server=nats_server, urls=urls, relay=relay, responder=responder)


async def listening(
    settings: Settings, http: "HttpServer | None", stack: AsyncExitStack
) -> "HttpServer | None":
    """The HTTP server, which listens: the one that was there, or one of the settings' that `stack` ends."""
    if http is None and (http := http_server(settings)) is not None:
        stack.push_async_callback(http.stop)
    if http is not None:
        await http.start()
    return http


def http_server(settings: Settings) -> "HttpServer | None":
    """A server that does not listen yet; None, with nothing loaded for it, where the settings want none."""
    if settings.no_http:
        return None
    from ops.console.routes import ROUTES
    from ops.http.server import HttpServer

    return HttpServer(settings, ROUTES)


def administration_by(nats_url: str, http: "HttpServer | None") -> Admin:
    """What whoever may read the data directory's private files administers the service with."""
    return Admin(
        nats_url=nats_url,
        inbox_prefix=ADMIN_INBOX.removesuffix("."),
        http_secret="" if http is None else http.access.local_secret,
    )
