"""A connection to NATS on which a message costs a few microseconds: nats-py's own, with two shortcuts.

    socket ─▶ parser ─┬─ direct subscription ─▶ its handler, at once
                      └─ everything else ─────▶ nats-py: message, queue, task

Connecting, authentication, TLS, reconnecting, draining and all other subscriptions are nats-py's. There, a
message is built, queued and handed to a task, and each answer is a coroutine of its own; that was half of
what a command costs, so commands come in and answers go out by the shortcuts. And four of its faults are put
right: a message that cannot be read ends its reading for ever, an error of the server's ends the connection
for ever, a flush overtakes what it shall follow, and one that is closed while it reconnects may never end.
And it would send a password in clear to whoever says that there is no TLS, which this one does not where TLS
is asked for.

All this leans on parts of nats-py that are not public, which is why it is pinned to one minor version;
tests/integration/bus/transport/test_connection.py fails where one of them changed:

- `Parser`: see `bus.transport.protocol`;
- `Client`, for receiving: `_ps`, `_subs`, `_process_msg`, `_process_headers`, `_build_message`,
  `_process_err`, `_process_op_err`, `_error_cb`, `_remove_sub`, `_close`, `_reconnection_task`, that
  `_process_connect_init` begins to read, from the `_io_reader` of `_transport` (see `bus.transport.early`),
  and that the next subscription has the number `_sid + 1`;
- `Client`, for sending: `_send_ping`, `_pongs`, `_send_command`, `_flush_pending`, `_flush_queue` (which a
  task empties that writes `_pending`), `_pending_data_size`, `_max_pending_size`, `_max_payload`,
  `_skip_subject_validation`, `_validate_subject`, `_connect_to_server`, and the `write`, `writelines` and
  `_io_writer` of `_transport`;
- `Client`, for logging in: `_process_info` (called once before TLS begins), `_connect_command` (made when all
  that TLS takes is done), `_auth_configured`, `_public_nkey`, `_signature_cb`, `_user_jwt_cb`,
  `_server_info`, and the `_io_writer` of `_transport`; `bus.transport.ending` leans on more of that.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nats import errors
from nats.aio.client import PING_PROTO, Client, Srv, _validate_subject
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from bus.incident import internal
from bus.tasks import cancel
from bus.transport import protocol
from bus.transport.access import Access, AccessError
from bus.transport.early import take_early
from bus.transport.ending import end_for_certain
from bus.transport.protocol import DirectParser, Handler

# Subject, reply subject ("" for none), body, headers (`None` for none).
RawMessage = tuple[str, str, bytes, Mapping[str, str] | None]

# The size of the pieces that are copied. A sender waits while more than 2 MiB (nats-py's limit) are buffered.
SLICE_BYTES = 512 * 1024

# Stands for headers that cannot be read. No message can bring a name with a space.
UNREADABLE: Mapping[str, str] = {"not readable": ""}

logger = logging.getLogger(__name__)


class LeanClient(Client):
    """A client with direct subscriptions and publishing in groups. Used from one event loop's thread.

    `access` is what it shows and trusts; with `requires_tls`, it says nothing that is not encrypted. Both are
    set before it connects. `account` is the name of its user's account, where the server tells it,
    `last_violation` what the server said it may not do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.access = Access()
        self.requires_tls = False
        self.account: str | None = None
        self.last_violation: str | None = None
        self._is_writing_soon = False
        self._direct: dict[bytes, Handler] = {}
        self._ps = self._parser = DirectParser(self, self._direct)

    async def subscribe_direct(self, subject: str, *, queue: str = "", handler: Handler) -> Subscription:
        """Has `handler` called with every message, in order, where it is read; it must not take long.

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

    async def publish_many(self, messages: Iterable[RawMessage]) -> None:
        """Publishes all of them, in order, or none, for a fraction of what `publish` costs for each.

        As with `publish`, they are in the buffer when this returns, and wait there for a connection that was
        lost; while the buffer is full, this waits for the socket.

        Raises:
            nats.errors.ConnectionClosedError, ConnectionDrainingError: nothing can be sent any more.
            nats.errors.OutboundBufferLimitError: the connection is lost, and the buffer has no room for them.
            nats.errors.MaxPayloadError: a body is larger than the broker takes.
            nats.errors.BadSubjectError, BadHeaderError: a subject or the name of a header cannot be sent.
        """
        parts = self._parts(messages)
        size = sum(map(len, parts))
        self._require_open(size)
        self._count_sent(parts)
        if self._free_transport is not None and size <= SLICE_BYTES:
            self._keep(parts, size)
            self._write_pending()
            return
        for one in _slices(parts, size):
            await self._send_command(one)
        self._flush_soon()

    def publish_now(self, messages: Iterable[RawMessage]) -> bool:
        """As `publish_many`, without waiting: whether the buffer had room. If not, none is published.

        They are at the socket when this returns, behind all that was published before; where that does not
        take them at once, they follow by themselves.
        """
        if not self._kept(messages):
            return False
        self._write_pending()
        return True

    def publish_soon(self, messages: Iterable[RawMessage]) -> bool:
        """As `publish_now`, in one piece with all else that is published in this turn of the loop.

        From a direct subscription's handler: with what those of the same read from the socket publish.
        """
        if not self._kept(messages):
            return False
        if not self._is_writing_soon:
            self._is_writing_soon = True
            asyncio.get_running_loop().call_soon(self._write_pending)
        return True

    async def publish_encoded(self, messages: bytes, count: int) -> None:
        """Publishes whole messages that are in the protocol's form already; otherwise as `publish_many`.

        The caller has made sure that none of them is too long for the broker.
        """
        self._require_open(len(messages))
        self.stats["out_msgs"] += count
        self.stats["out_bytes"] += len(messages)
        await self._send_command(messages)
        self._flush_soon()

    def hand_over(
        self, handler: Handler, subject: bytes, reply: bytes, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        """Has a direct subscription's message handled. For the parser."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(body)
        try:
            handler(_text(subject), _text(reply), headers, body)
        except Exception as error:
            _log_incident(subject, error)

    def _require_open(self, size_bytes: int = 0) -> None:
        if self.is_closed:
            raise errors.ConnectionClosedError
        if self.is_draining_pubs:
            raise errors.ConnectionDrainingError
        if not self.is_connected and self._pending_data_size + size_bytes > self._max_pending_size:
            raise errors.OutboundBufferLimitError

    def _parts(self, messages: Iterable[RawMessage]) -> list[bytes]:
        """Three of each message: what comes before its body, the body, the end of the line."""
        self._require_open()
        parts: list[bytes] = []
        for subject, reply, body, headers in messages:
            if not subject or not self._skip_subject_validation:
                _validate_subject(subject)
                if reply:
                    _validate_subject(reply)
            if len(body) > self._max_payload:
                raise errors.MaxPayloadError
            parts += (protocol.head(subject, reply, len(body), headers), body, protocol.CRLF)
        return parts

    def _count_sent(self, parts: list[bytes]) -> None:
        bodies = parts[1::3]
        self.stats["out_msgs"] += len(bodies)
        self.stats["out_bytes"] += sum(map(len, bodies))

    def _kept(self, messages: Iterable[RawMessage]) -> bool:
        """Whether there was room for the messages in nats-py's buffer, where they are now."""
        parts = self._parts(messages)
        size = sum(map(len, parts))
        self._require_open(size)
        if self._pending_data_size + size > self._max_pending_size:
            return False
        self._count_sent(parts)
        self._keep(parts, size)
        return True

    def _keep(self, parts: list[bytes], size: int) -> None:
        self._pending += parts
        self._pending_data_size += size

    @property
    def _free_transport(self) -> TcpTransport | None:
        """Where the socket has taken all that it was given, what writes to it."""
        transport = self._transport
        if self.is_connected and isinstance(transport, TcpTransport) and transport._io_writer is not None:
            return None if transport._io_writer.transport.get_write_buffer_size() else transport
        return None

    def _write_pending(self) -> None:
        """Writes what is in nats-py's buffer. A task of nats-py's does so, too, a turn of the loop later."""
        self._is_writing_soon = False
        transport = self._free_transport
        if transport is None:
            # That task waits for the socket.
            self._flush_soon()
        elif self._pending:
            transport.write(b"".join(self._pending))  # type: ignore[no-untyped-call]  # nats-py
            self._pending = []
            self._pending_data_size = 0

    def _write_what_is_due(self) -> None:
        if self._is_writing_soon:
            self._write_pending()

    def _flush_soon(self) -> None:
        """Wakes that task, unless it is called already; without a connection, the next one has it woken."""
        if self.is_connected and self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _process_err(self, err_msg: str) -> None:
        # nats-py closes for good at any error of the server's, and nobody would be served any more.
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
        await super()._connect_to_server(s)
        transport = self._transport
        if isinstance(transport, TcpTransport):
            end_for_certain(transport)
            # From Python 3.12 on, until the newest releases, asyncio's own raises a TypeError once the
            # connection is lost, and nats-py never connects again.
            # https://github.com/python/cpython/issues/136234
            transport.writelines = lambda payload: transport.write(b"".join(payload))  # type: ignore[method-assign,no-untyped-call]

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        # From here on, a task of nats-py's reads.
        transport = self._transport
        if isinstance(transport, TcpTransport) and transport._io_reader is not None:
            take_early(transport._io_reader, self._parser, self._write_what_is_due)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Made anew for each connection: the files may have changed."""
        return self.access.tls()

    @property
    def is_encrypted(self) -> bool:
        """Whether what is said now is."""
        # What the socket is, whatever the server said of it.
        writer = getattr(self._transport, "_io_writer", None)
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.requires_tls and not self.is_encrypted:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise not_encrypted()
            # TLS begins now, also where the server would do without.
            self._server_info["tls_required"] = True
            # Whoever is on the way may have said where else to go, and may well have a certificate for there.
            # Once it is encrypted, the server says it again.
            info = {name: value for name, value in info.items() if name != "connect_urls"}
        self.account = info.get("remote_account", self.account)
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        if self.requires_tls and not self.is_encrypted:
            raise not_encrypted()
        if (login := self.access.login()) is not None:
            if "nonce" not in self._server_info:
                raise AccessError("the nats-server knows no NKeys", hint="it has no user with one")
            self._auth_configured = True
            self._signature_cb, self._public_nkey = login.key.sign, login.key.public
            jwt = login.jwt
            self._user_jwt_cb = None if jwt is None else lambda: jwt
        return super()._connect_command()

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py's own writes past its buffer, so the ping overtakes messages that were sent earlier: a flush
        # returns before the server has read those, and a drained subscription loses messages.
        self._pongs.append(asyncio.get_running_loop().create_future() if future is None else future)
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        # An exception from here would end nats-py's reading task for good, and anybody could cause one.
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
        # It may lose a cancellation that comes while an attempt fails, and would then go on for ever.
        reconnecting = self._reconnection_task
        if reconnecting is not None and reconnecting is not asyncio.current_task():
            await cancel(reconnecting)
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # Sending the rest failed, since the broker is gone; nothing else was closed yet.
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)
        if not self._subs:
            self._direct.clear()


def not_encrypted() -> AccessError:
    """Said instead of a password."""
    return AccessError(
        "the nats-server offers no TLS, so it was told nothing",
        hint="have it speak TLS (its configuration's `tls` block); or, where everybody on the way may know"
        " what is said, take an address with nats:// and no authority or certificate",
    )


async def stop_receiving(subscription: Subscription) -> None:
    """Takes no more messages, but handles those that are here, also while the broker is away."""
    try:
        await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py
    except (errors.Error, OSError, TimeoutError) as error:
        logger.warning("no more messages are taken, although the broker could not be told: %s", error)


def _slices(parts: list[bytes], size_bytes: int) -> Iterator[bytes]:
    """Messages of three parts each, joined; never a part of one, since others may send in between."""
    if size_bytes <= SLICE_BYTES:
        yield b"".join(parts)
        return
    begin = gathered_bytes = 0
    for end in range(3, len(parts) + 1, 3):
        gathered_bytes += sum(map(len, parts[end - 3 : end]))
        if gathered_bytes >= SLICE_BYTES or end == len(parts):
            yield b"".join(parts[begin:end])
            begin, gathered_bytes = end, 0


def _text(name: bytes) -> str:
    # Nothing has that name, and its sender is told so.
    return name.decode(errors="replace")


def _log_incident(subject: bytes, error: Exception) -> None:
    internal(logger, "a message could not be handled", error, subject=_text(subject[:200]))
