"""A connection to NATS on which a message costs a few microseconds: nats-py's own, with two shortcuts.

    socket ─▶ parser ─┬─ direct subscription ─▶ its handler, at once
                      └─ everything else ─────▶ nats-py: message, queue, task

Connecting, authentication, TLS, reconnecting, draining and all other subscriptions are nats-py's. There, a
message is built, queued and handed to a task, and each answer is a coroutine of its own; that was half of
what a command costs, so commands come in and answers go out by the shortcuts. And six faults of nats-py are
mended here:

- a message that cannot be read ends its reading for ever;
- so does the answer to a flush that was given up;
- an error of the server ends the connection for ever;
- a flush overtakes messages that it has to follow;
- a flush goes on waiting for an answer that was lost with the connection;
- a client that is closed while it reconnects may never end.

Besides, nats-py sends a password unencrypted to any server that says that it has no TLS. This client does
not, if TLS is asked for.

All this leans on parts of nats-py that are not public, which is why it is pinned to one minor version;
tests/integration/bus/transport/test_connection.py fails where one of them changed:

- `Parser`: see `hyperpage_client.transport.protocol`;
- `Client`, for receiving: `_ps`, `_subs`, `_process_msg`, `_process_headers`, `_build_message`,
  `_process_err`, `_process_op_err`, `_error_cb`, `_remove_sub`, `_close`, `_reconnection_task`, that
  `_process_connect_init` begins to read, from the `_io_reader` of `_transport` (see `early`),
  that the next subscription has the number `_sid + 1`, and `_send_unsubscribe`, with the `_conn` and `_id`
  of a `Subscription`;
- `Client`, for sending: `_send_ping`, `_pongs` (each pong has the `set_result` of the first called, and no
  more), `_send_command`, `_pending`, `_pending_data_size`, `_flush_pending`, `_connect_to_server`, and
  the `write` and `writelines` of `_transport`; `hyperpage_client.transport.sending` leans on more;
- `Client`, for logging in: `_process_info` (called once before TLS begins), `_connect_command` (made when all
  that TLS takes is done), `_auth_configured`, `_public_nkey`, `_signature_cb`, `_user_jwt_cb`,
  `_server_info`, `_current_server`, and the `_io_writer` of `_transport`; `ending` leans on more of that.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from nats import errors
from nats.aio.client import PING_PROTO, Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from hyperpage_client.incident import log_incident
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.access import Access, AccessError, user_in
from hyperpage_client.transport.early import take_early
from hyperpage_client.transport.ending import end_for_certain
from hyperpage_client.transport.protocol import DirectParser, Handler
from hyperpage_client.transport.sending import SendingClient

# Stands for headers that cannot be read. No message can bring a name with a space.
UNREADABLE: Mapping[str, str] = {"not readable": ""}

logger = logging.getLogger(__name__)


class LeanClient(SendingClient):
    """A client with direct subscriptions and publishing in groups. Used from one event loop's thread.

    `access` has its credentials and the authorities it trusts; with `requires_tls`, it sends nothing
    unencrypted. Both are set before it connects. `asked` is the server of its last attempt to connect,
    `account` the name of its user's account, if the server tells it, `last_violation` what the server last
    said that it may not do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.access = Access()
        self.requires_tls = False
        self.asked = ""
        self.account: str | None = None
        self.last_violation: str | None = None
        self._direct: dict[bytes, Handler] = {}
        self._ps = self._parser = DirectParser(self, self._direct)

    async def subscribe_direct(self, subject: str, *, queue: str = "", handler: Handler) -> Subscription:
        """Has `handler` called with every message, in order, as it is read; the handler must not take long.

        There is no queue, and so no slow consumer: the socket waits for the handler. An exception of the
        handler is logged with an incident. The subscription can be drained, and unsubscribed without a limit.

        Raises:
            nats.errors.Error: as `subscribe` does.
        """
        # The handler is noted first: a message may come before `subscribe` returns.
        number = b"%d" % (self._sid + 1)
        self._direct[number] = handler
        try:
            return await self.subscribe(subject, queue=queue)
        except BaseException:
            self._direct.pop(number, None)
            raise

    def hand_over(
        self, handler: Handler, subject: bytes, reply: bytes, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        """Calls the handler of a direct subscription with a message. For the parser."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(body)
        try:
            handler(subject.decode(errors="replace"), _text(reply) if reply else "", headers, body)
        except Exception as error:
            _log_incident(subject, error)

    def _take(self, data: bytes) -> int:
        """Has the parser take direct messages; what their handlers publish soon is written after them.

        Returns the position behind the last message that was taken.
        """
        with self.gathering():
            return self._parser.take(data)

    async def _process_err(self, err_msg: str) -> None:
        # At other errors of the server, nats-py closes the client for good; here, it connects again.
        if not self.is_connected or "permissions violation" in err_msg:
            self.last_violation = err_msg
            await super()._process_err(err_msg)
            return
        error = errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return dict(UNREADABLE)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        message: Msg = super()._build_message(
            sid, _text(subject).encode(), _text(reply).encode(), data, headers
        )
        return message

    async def _connect_to_server(self, s: Srv) -> None:
        self.asked = s.uri.netloc
        await super()._connect_to_server(s)
        transport = self._transport
        if isinstance(transport, TcpTransport):
            end_for_certain(transport)
            # From Python 3.12 on, until the newest releases, asyncio's own raises a TypeError once the
            # connection is lost, and nats-py never connects again.
            # https://github.com/python/cpython/issues/136234
            transport.writelines = lambda payload: transport.write(b"".join(payload))  # type: ignore[method-assign,no-untyped-call]

    async def _process_connect_init(self) -> None:
        lost: list[Any] = list(self._pongs)
        await super()._process_connect_init()
        for ping in lost:
            # A flush whose ping was lost with the last connection would wait until its time is up.
            if isinstance(ping, _Ping) and not ping.waiting.done():
                ping.waiting.set_exception(errors.ConnectionReconnectingError())
                # Nothing waits for nats-py's own pings: the error is read here, or asyncio would log it.
                ping.waiting.exception()
        # From here on, a task of nats-py's reads.
        transport = self._transport
        if isinstance(transport, TcpTransport) and transport._io_reader is not None:
            take_early(transport._io_reader, self._parser, self._take)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The context of TLS, made anew for each connection, since the files may have changed."""
        return self.access.tls()

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is encrypted now."""
        # The socket decides, not what the server says of it.
        writer = getattr(self._transport, "_io_writer", None)
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.requires_tls and not self.is_encrypted:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise not_encrypted()
            # TLS begins now, even if the server does not require it.
            self._server_info["tls_required"] = True
            # The addresses of other servers are not taken yet: an attacker on the way may have named a server
            # for which it has a certificate. Once the connection is encrypted, the server names them again.
            info = {name: value for name, value in info.items() if name != "connect_urls"}
        self.account = info.get("remote_account", self.account)
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        if self.requires_tls and not self.is_encrypted:
            raise not_encrypted()
        if (login := self.access.login()) is not None:
            if "nonce" not in self._server_info:
                raise AccessError(
                    "the nats-server knows no NKeys",
                    hint="have it read what `hyperpage nats-config` writes, or take credentials"
                    " that it knows",
                )
            self._auth_configured = True
            self._signature_cb, self._public_nkey = login.key.sign, login.key.public
            jwt = login.jwt
            self._user_jwt_cb = None if jwt is None else lambda: jwt
        options = self.options
        if self._current_server is not None:
            # nats-py would send a user in this server's address as it is written, with each %XX.
            self.options = options | user_in(self._current_server.uri.geturl())
        try:
            return super()._connect_command()
        finally:
            self.options = options

    def ask_for_sign(self, heard: Callable[[], None]) -> None:
        """Has `heard` called when all that the server has for this client by now was read.

        A ping follows all that was sent, and the server's answer all that it has sent. If the connection is
        lost, `heard` is never called.
        """
        self._pongs.append(_Sign(heard))  # type: ignore[arg-type]  # only `set_result` is called
        self._pending.append(PING_PROTO)
        self._pending_data_size += len(PING_PROTO)
        self._write_pending()

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py's own method writes past its buffer, so the ping overtakes messages that were sent earlier:
        # a flush returns before the server has read those, and a drained subscription loses messages.
        waiting = asyncio.get_running_loop().create_future() if future is None else future
        self._pongs.append(_Ping(waiting))  # type: ignore[arg-type]  # only `set_result` is called
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        # An exception from here would end nats-py's reading task for good, and any sender could cause one.
        try:
            handler = self._direct.get(b"%d" % sid)
            if handler is None:
                await super()._process_msg(sid, subject, reply, data, headers or b"")
            else:
                self.hand_over(handler, subject, reply, await self._process_headers(headers), data)
        except Exception as error:
            _log_incident(subject, error)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._direct.pop(b"%d" % sid, None)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        # The task may lose a cancellation that comes while an attempt fails, and would then go on for ever.
        reconnecting = self._reconnection_task
        if reconnecting is not None and reconnecting is not asyncio.current_task():
            await cancel(reconnecting)
        if self._flush_queue is None:
            # It never connected: nats-py would raise an error about that, which would hide what was wrong.
            self._status = status
            return
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # Sending the rest failed, since the broker is gone; nothing else was closed yet.
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)
        if not self._subs:
            self._direct.clear()


class _Ping(NamedTuple):
    """Stands for the future of a caller that waits for a ping's answer, and may have given up."""

    waiting: asyncio.Future[Any]

    def set_result(self, said: Any) -> None:
        if not self.waiting.done():
            self.waiting.set_result(said)


class _Sign(NamedTuple):
    """Stands among the futures of pings; it calls `heard` at once, not a turn of the loop later."""

    heard: Callable[[], None]

    def set_result(self, _: Any) -> None:
        self.heard()


def not_encrypted() -> AccessError:
    """The error that is raised before a password is sent unencrypted."""
    return AccessError(
        "the nats-server offers no TLS, so it was told nothing",
        hint="have it speak TLS (its configuration's `tls` block); or, where everybody on the way may know"
        " what is said, take an address with nats:// and no authority or certificate",
    )


async def stop_receiving(subscription: Subscription) -> None:
    """Takes no more messages, but handles those that have come, even while the broker is away."""
    try:
        await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py
    except (errors.Error, OSError, TimeoutError) as error:
        logger.warning("no more messages are taken, although the broker could not be told: %s", error)
        client = subscription._conn
        # Otherwise the next connection subscribes again; if it has already done so, it is told to stop.
        client._remove_sub(subscription._id)
        with suppress(errors.Error, OSError):
            await client._send_unsubscribe(subscription._id)


def _text(name: bytes) -> str:
    # Nothing has a name with a replaced byte, and its sender is told so.
    return name.decode(errors="replace")


def _log_incident(subject: bytes, error: Exception) -> None:
    log_incident(logger, "a message could not be handled", error, subject=_text(subject[:200]))
