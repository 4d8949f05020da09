"""A connection to NATS on which one message costs a few microseconds: nats-py's own, with two shortcuts.

    socket ─▶ parser ─┬─ direct subscription ─▶ its handler, at once
                      └─ everything else ─────▶ nats-py: message, queue, task

Connecting, authentication, TLS, reconnecting, pings, draining and all other subscriptions are nats-py's.
There, a message is built, queued and handed to a task, and each answer is a coroutine; that is more than half
of what a command costs here, so commands come in and answers go out by the shortcuts.

What this leans on is not public in nats-py, which is therefore pinned to one minor version, and held to by
tests/integration/test_connection.py:

- `Parser`: `parse`, `reset`, `buf` (the same object until a reset), `state`, `needed`; that it takes whole
  control lines one at a time, and the first part of a message to be completed later;
- `Client`: `_ps`, `_process_msg`, `_process_headers`, `_parse_header_lines`, `_remove_sub`, `_close`, and that
  the next subscription is number `_sid + 1`;
- `Client`, for sending: `_send_command`, `_flush_pending`, `_flush_queue`, `_pending_data_size`,
  `_max_pending_size`, `_max_payload`, `_skip_subject_validation` and `_validate_subject`.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from nats import errors
from nats.aio.client import Client, _validate_subject
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

from bus.identifiers import new_id

# subject, reply subject ("" for none), headers (None for none), body
Handler = Callable[[str, str, Mapping[str, str] | None, bytes], None]
# subject, reply subject ("" for none), body, headers (None for none)
Outgoing = tuple[str, str, bytes, Mapping[str, str] | None]

# What is handed over at a time. The limit of nats-py's buffer, 2 MiB, would do; less is copied at once.
SLICE_BYTES = 512 * 1024

_CRLF: Final = b"\r\n"
_PLAIN_HEADERS: Final = b"NATS/1.0\r\n"
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE_BREAKS = str.maketrans("\r\n", "  ")

logger = logging.getLogger(__name__)


class LeanClient(Client):
    """A client with direct subscriptions and publishing in groups. Used from one event loop's thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py
        self._direct: dict[bytes, Handler] = {}
        self._ps = _DirectParser(self, self._direct)

    async def subscribe_direct(self, subject: str, *, queue: str = "", handler: Handler) -> Subscription:
        """Has `handler` called for every message, in order, right where it is read; it must not take long.

        There is no queue, so there is no slow consumer: what is read is handled. An exception of the handler
        is logged with an incident. The subscription can be drained and unsubscribed, but not with a limit.

        Raises:
            nats.errors.Error: as `subscribe`.
        """
        # Noted before: the first message may come while `subscribe` waits for its turn to send.
        number = b"%d" % (self._sid + 1)
        self._direct[number] = handler
        try:
            return await self.subscribe(subject, queue=queue)
        except BaseException:
            self._direct.pop(number, None)
            raise

    async def publish_many(self, messages: Iterable[Outgoing]) -> None:
        """Publishes all of them, in order, or none; `publish` costs several times as much for each.

        As with `publish`, they are on their way when this returns, or wait for the connection to come back;
        where more waits than the buffer takes, this waits until the socket has taken it.

        Raises:
            nats.errors.ConnectionClosedError, ConnectionDrainingError: nothing can be sent any more.
            nats.errors.OutboundBufferLimitError: not connected, and more than may wait for that.
            nats.errors.MaxPayloadError: a body is larger than the broker takes.
            nats.errors.BadSubjectError, BadHeaderError: a subject, or a header's name, cannot be sent.
        """
        if self.is_closed:
            raise errors.ConnectionClosedError
        if self.is_draining_pubs:
            raise errors.ConnectionDrainingError
        parts: list[bytes] = []
        count = body_bytes = 0
        for subject, reply, body, headers in messages:
            if not self._skip_subject_validation:
                _validate_subject(subject)
                if reply:
                    _validate_subject(reply)
            elif not subject:
                raise errors.BadSubjectError
            if len(body) > self._max_payload:
                raise errors.MaxPayloadError
            if headers is None:
                head = f"PUB {subject} {reply} {len(body)}\r\n".encode()
            else:
                block = _encode_headers(headers)
                head = f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n".encode() + block
            parts += (head, body, _CRLF)
            count += 1
            body_bytes += len(body)
        size = sum(map(len, parts))
        # A buffer of no size is nats-py's way to say that nothing waits for the connection.
        if not self.is_connected and self._pending_data_size + size > self._max_pending_size:
            raise errors.OutboundBufferLimitError
        self.stats["out_msgs"] += count
        self.stats["out_bytes"] += body_bytes
        for one in _slices(parts):
            # This waits while too much is pending.
            await self._send_command(one)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        # Where an exception came out of here, nats-py would end its reading task without a word to anybody:
        # a message whose headers are a single byte is enough.
        try:
            handler = self._direct.get(b"%d" % sid)
            if handler is None:
                await super()._process_msg(sid, subject, reply, data, headers)
                return
            self.stats["in_msgs"] += 1
            self.stats["in_bytes"] += len(data)
            handler(subject.decode(), reply.decode(), await self._process_headers(headers), data)
        except Exception:
            _log_incident(subject)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._direct.pop(b"%d" % sid, None)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        await super()._close(status, do_cbs)
        if not self._subs:
            self._direct.clear()


class _DirectParser(Parser):
    """nats-py's parser, spared the whole messages that a read begins with or comes to.

    Everything else goes through it in the pieces that it would take anyway: control lines, the beginning of a
    message whose end is still to come, and that end.
    """

    def __init__(self, client: LeanClient, direct: Mapping[bytes, Handler]) -> None:
        super().__init__(client)  # type: ignore[no-untyped-call]  # nats-py
        self._direct = direct

    async def parse(self, data: bytes = b"") -> None:
        """Handles what `data` completes, and keeps the rest for the next call."""
        # A reset, during any wait, makes a new one: the rest of `data` is the old connection's then.
        kept = self.buf
        position = 0
        if self.state == AWAITING_MSG_PAYLOAD:
            position = self.needed + len(_CRLF) - len(kept)
            await super().parse(data[:position])
            if self.buf is not kept:
                return
        elif kept:
            # A line that was cut; nothing but its end can have been missing.
            data = bytes(kept) + data
            kept.clear()
        size = len(data)
        while position < size:
            line_end = data.find(_CRLF, position)
            words = data[position:line_end].split(b" ") if line_end >= 0 else []
            if not _is_message(words):
                # A control line, which may be cut.
                end = line_end + len(_CRLF) if line_end >= 0 else size
                await super().parse(data[position:end])
                if self.buf is not kept:
                    return
                if kept:
                    kept += data[end:]
                    return
                position = end
                continue
            start = line_end + len(_CRLF)
            end = start + int(words[-1])
            if end + len(_CRLF) > size:
                await super().parse(data[position:])
                return
            ...
