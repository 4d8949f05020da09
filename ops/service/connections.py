"""The connections of a service to its clients: `open_broker` for NATS, `http_server` for HTTP."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec
from nats.aio.client import DEFAULT_PING_INTERVAL

from bus.broker.accounts import REFUSED_LOGINS, application_connects
from bus.broker.server import NatsServer
from bus.broker.users import APP, RELAY, RESPONDER, USERS, WATCHER, BrokerUser, private_inbox
from bus.contract.senders import UserSubjects
from bus.serving.audit import Act
from bus.serving.discovery import SERVICE_NAME
from hyperpage_client.contract.subjects import ADMIN_INBOX
from hyperpage_client.transport.access import BrokerAddress
from hyperpage_client.transport.connecting import NotConnectedError, connect
from hyperpage_client.transport.connection import LeanClient
from ops.security.refusals import RefusedLogins
from ops.security.sharing import SharedUse
from ops.service.background import Background
from ops.service.errors import ServiceError
from ops.settings import Settings
from ops.store.data_directory import Admin

if TYPE_CHECKING:
    from ops.http.server import HttpServer

CONNECT_SECONDS = 10.0
_SEE_IT = "see that it runs and can be reached; a nats-server of its own is had by leaving out its address"

# A lost connection is tried ten times a second: the same error is logged once in this time, and at most so
# many different errors.
LOG_AGAIN_SECONDS = 60.0
MAXIMUM_LOGGED = 10

logger = logging.getLogger(__name__)


class ErrorLog:
    """Logs the errors of one connection to NATS, each once a minute."""

    def __init__(self, user: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._user = user
        self._clock = clock
        # By the text of the error.
        self._logged_at: dict[str, float] = {}

    def note(self, said: str) -> None:
        """Logs an error, unless it was logged lately."""
        now = self._clock()
        lately = {one: at for one, at in self._logged_at.items() if now - at < LOG_AGAIN_SECONDS}
        if said not in lately and len(lately) <= MAXIMUM_LOGGED:
            if len(lately) == MAXIMUM_LOGGED:
                said = "other errors, which are left out for a minute"
            lately[said] = now
            logger.warning("nats, as %s: %s", self._user, said)
        self._logged_at = lately


async def connect_as(user: str, at: BrokerAddress) -> LeanClient:
    """A connection as one of the service's users. If it is lost later, it is tried again for ever.

    Raises:
        ServiceError: no nats-server lets the service in.
    """
    try:
        return await connect(
            at.url,
            access=at.access,
            name=f"{SERVICE_NAME} {user}",
            inbox_prefix=private_inbox(user),
            within_seconds=CONNECT_SECONDS,
            # For ever: the broker may be away for long, and the store can be read meanwhile.
            again_after_seconds=0.1,
            ping_interval=at.ping_seconds or DEFAULT_PING_INTERVAL,
            on_error=ErrorLog(user).note,
            # `hyperpage_client.contract.subjects` makes the subjects, or the broker has checked them.
            skip_subject_validation=True,
        )
    except NotConnectedError as error:
        hint = f"as {user}: {error.hint}" if error.hint else _SEE_IT
        raise ServiceError(str(error), hint=hint) from error


class Broker(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The broker of a service, and the service's own connections.

    `nats_server` is the embedded one; `None` if another is used, at `addresses` for each kind of user.
    """

    nats_server: NatsServer | None
    addresses: Mapping[str, BrokerAddress]
    relay: LeanClient
    responder: LeanClient

    def address_for(self, user: str) -> BrokerAddress:
        """The address at which a user logs in, with its credentials as they are now."""
        if self.nats_server is None:
            return self.addresses[user]
        return BrokerAddress(url=self.nats_server.url_for(user))


async def open_broker(
    settings: Settings,
    users: Sequence[BrokerUser],
    sharing: SharedUse,
    note: Callable[[Act], None],
    stack: AsyncExitStack,
    background: Background,
) -> Broker:
    """The broker that the settings name, or an embedded one that `stack` ends.

    Of the embedded one, `sharing` gets the connections as the application's user, `note` the refused log-ins.

    Raises:
        NatsServerError: the embedded one does not start.
        ServiceError: no nats-server lets the service in.
    """
    nats_server, addresses = None, settings.outside_nats
    if addresses is None:
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
        addresses = {user: BrokerAddress(url=nats_server.url_for(user)) for user in USERS}
    relay = await connect_as(RELAY, addresses[RELAY])
    stack.push_async_callback(relay.close)
    if nats_server is not None:
        await nats_server.synced_streams.watch(relay)
        background.start(nats_server.synced_streams.run(), "the syncs of what describes the streams")
    responder = await connect_as(RESPONDER, addresses[RESPONDER])
    stack.push_async_callback(responder.close)
    if nats_server is None:
        await _look_at(settings, addresses, relay, responder)
    if nats_server is not None:
        watcher = await connect_as(WATCHER, addresses[WATCHER])
        stack.push_async_callback(watcher.close)
        await sharing.watch(watcher, application_connects())
        await RefusedLogins(note).watch(watcher, REFUSED_LOGINS)
    return Broker(nats_server=nats_server, addresses=addresses, relay=relay, responder=responder)


async def _look_at(
    settings: Settings, addresses: Mapping[str, BrokerAddress], relay: LeanClient, responder: LeanClient
) -> None:
    """Logs what is not safe about an outside broker, and refuses one whose accounts or rights are wrong."""
    names = settings.names
    if not relay.is_encrypted and not addresses[RELAY].is_on_loopback:
        logger.warning(
            "whoever is between here and %s reads all that is said, credentials, too: with tls:// in the"
            " address, they would not",
            addresses[RELAY].shown,
        )
    if not settings.has_accounts:
        logger.info("all who use the nats-server at %s are one to this service", addresses[APP].shown)
        return
    await _require_accounts(relay, responder)
    await _require_rights(RELAY, relay, names.durable_command(">"))
    await _require_rights(RESPONDER, responder, UserSubjects(names).sent("*", names.command(">")))
    if settings.is_replicated:
        await _require_rights(RESPONDER, responder, names.led(">"))


async def _require_rights(user: str, connection: LeanClient, subject: str) -> None:
    """Refuses credentials of a wrong role, with which the service would wait for messages for ever."""
    connection.last_violation = None
    subscription = await connection.subscribe(subject)
    # The server reports a violation before it answers this.
    await connection.flush()
    await subscription.unsubscribe()
    if connection.last_violation is not None:
        raise ServiceError(
            f"what is known to the nats-server as {user} has other rights there: it may not"
            f" subscribe to {subject}",
            hint=f"is nats_{user}_credentials (or nats_{user}) the one of this role, and has the nats-server"
            " read what `hyperpage nats-config` wrote last?",
        )


async def _require_accounts(relay: LeanClient, responder: LeanClient) -> None:
    """Refuses a broker that does not tell senders apart, so that any client could claim to be another."""
    # The server sends the account after its answer to the log-in.
    await relay.flush()
    await responder.flush()
    if relay.account is None or relay.account == responder.account:
        where = f"are both in {relay.account}" if relay.account else "may be in the same account"
        raise ServiceError(
            f"who sends what cannot be told on this nats-server: relay and responder {where}",
            hint="include in its configuration what `hyperpage nats-config` writes, with nats-server 2.12 or"
            " newer; or leave nats_responder out, and all who use it are one",
        )


async def listening(
    settings: Settings, http: "HttpServer | None", stack: AsyncExitStack
) -> "HttpServer | None":
    """The HTTP server, listening: the given one, or one by the settings that `stack` stops."""
    if http is None and (http := http_server(settings)) is not None:
        stack.push_async_callback(http.stop)
    if http is not None:
        await http.start()
    return http


def http_server(settings: Settings) -> "HttpServer | None":
    """A server that does not listen yet; `None`, without loading its modules, if the settings want none."""
    if settings.no_http:
        return None
    from ops.console.routes import ROUTES
    from ops.http.server import HttpServer

    return HttpServer(settings, ROUTES)


def administration_by(at: BrokerAddress, http: "HttpServer | None") -> Admin:
    """The credentials of operators, for a private file in the data directory."""
    return Admin(
        nats_url=at.urls[0],
        nats_urls=tuple(at.urls),
        nats_access=at.access,
        inbox_prefix=ADMIN_INBOX.removesuffix("."),
        http_secret="" if http is None else http.access.local_secret,
    )
