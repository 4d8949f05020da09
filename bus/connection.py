"""A connection to NATS on which a message costs a few microseconds: nats-py's own, with two shortcuts.

    socket ─▶ parser ─┬─ direct subscription ─▶ its handler, at once
                      └─ everything else ─────▶ nats-py: message, queue, task

Connecting, authentication, TLS, reconnecting, draining and all other subscriptions are nats-py's. There, a
message is built, queued and handed to a task, and each answer is a coroutine of its own; that was half of
what a command costs, so commands come in and answers go out by the shortcuts. And two of its faults are put
right: a message that cannot be read ends its reading for ever, and a flush overtakes what it shall follow.

All this leans on parts of nats-py that are not public, which is why it is pinned to one minor version;
tests/integration/test_connection.py fails where one of them changed:

- `Parser`: `parse`, `state`, `needed`, and `buf`, the same object until `reset`; it takes a control line by
  itself, and the beginning of a message whose end comes later;
- `Client`, for receiving: `_ps`, `_subs`, `_process_msg`, `_process_headers`, `_parse_header_lines`,
  `_remove_sub`, `_close`, and that the next subscription has the number `_sid + 1`;
- `Client`, for sending: `_send_ping`, `_pongs`, `_send_command`, `_flush_pending`, `_flush_queue`,
  `_pending_data_size`, `_max_pending_size`, `_max_payload`, `_skip_subject_validation`, `_validate_subject`.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nats import errors
from nats.aio.client import PING_PROTO, Client, _validate_subject
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

from bus.identifiers import new_id

# Subject, reply subject ("" for none), headers (`None` for none), body.
Handler = Callable[[str, str, Mapping[str, str] | None, bytes], None]
# Subject, reply subject ("" for none), body, headers (`None` for none).
Outgoing = tuple[str, str, bytes, Mapping[str, str] | None]

# So much is copied at a time; what waits for the socket beyond nats-py's limit, 2 MiB, makes the sender wait.
SLICE_BYTES = 512 * 1024

_CRLF = b"\r\n"
_PLAIN_HEADERS = b"NATS/1.0\r\n"
# What nats-py makes of headers that are sent: a name is a token (RFC 9110, 5.6.2), a value has one line.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE_BREAKS = str.maketrans("\r\n", "  ")

logger = logging.getLogger(__name__)


class LeanClient(Client):
    """A client with direct subscriptions and publishing in groups. Used from one event loop's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._direct: dict[bytes, Handler] = {}
        self._ps = _DirectParser(self, self._direct)

    async def subscribe_direct(self, subject: str, *, queue: str = "", handler: Handler) -> Subscription:
        """Has `handler` called with every message, in order, where it is read; it must not take long.

        There is no queue, and so no slow consumer: the socket waits for the handler. An exception of the
        handler is logged with an incident. The subscription can be drained, and unsubscribed without a limit.

        Raises:
            nats.errors.Error: as `subscribe` does.
        """
        # Noted first: a message may come before `subscribe` returns.
        number = b"%d" % (self._sid + 1)
        self._direct[number] = handler
        try:
            return await self.subscribe(subject, queue=queue)
        except BaseException:
            self._direct.pop(number, None)
            raise

    async def publish_many(self, messages: Iterable[Outgoing]) -> None:
        """Publishes all of them, in order, or none, for a fraction of what `publish` costs for each.

        As with `publish`, they are in the buffer when this returns, and wait there for a connection that was
        lost; while the buffer is full, this waits for the socket.

        Raises:
            nats.errors.ConnectionClosedError, ConnectionDrainingError: nothing can be sent any more.
            nats.errors.OutboundBufferLimitError: the connection is lost, and the buffer has no room for them.
            nats.errors.MaxPayloadError: a body is larger than the broker takes.
            nats.errors.BadSubjectError, BadHeaderError: a subject or the name of a header cannot be sent.
        """
        if self.is_closed:
            raise errors.ConnectionClosedError
        if self.is_draining_pubs:
            raise errors.ConnectionDrainingError
        parts: list[bytes] = []
        count = body_bytes = 0
        for subject, reply, body, headers in messages:
            self._require_subjects(subject, reply)
            if len(body) > self._max_payload:
                raise errors.MaxPayloadError
            if headers is None:
                head = f"PUB {subject} {reply} {len(body)}\r\n".encode()
            else:
                block = _encode_headers(headers)
                sizes = f"{len(block)} {len(block) + len(body)}"
                head = f"HPUB {subject} {reply} {sizes}\r\n".encode() + block
            parts += (head, body, _CRLF)
            count += 1
            body_bytes += len(body)
        size = sum(map(len, parts))
        if not self.is_connected and self._pending_data_size + size > self._max_pending_size:
            raise errors.OutboundBufferLimitError
        self.stats["out_msgs"] += count
        self.stats["out_bytes"] += body_bytes
        for one in _slices(parts, size):
            await self._send_command(one)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    def _require_subjects(self, subject: str, reply: str) -> None:
        if not self._skip_subject_validation:
            _validate_subject(subject)
            if reply:
                _validate_subject(reply)
        elif not subject:
            raise errors.BadSubjectError

    def hand_over(
        self, handler: Handler, subject: bytes, reply: bytes, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        """Has a direct subscription's message handled. For the parser."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(body)
        try:
            handler(subject.decode(), reply.decode(), headers, body)
        except Exception:
            _log_incident(subject)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py's own writes past its buffer, so the ping overtakes what was sent before it: a flush returns
        # before the server has read that, and a drained subscription loses what is still sent to it.
        self._pongs.append(asyncio.get_running_loop().create_future() if future is None else future)
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        # An exception from here would end nats-py's reading task for good, and anybody could cause one: with
        # headers of a single byte, say, or a subject that is not UTF-8.
        try:
            handler = self._direct.get(b"%d" % sid)
            if handler is None:
                await super()._process_msg(sid, subject, reply, data, headers or b"")
            else:
                self.hand_over(handler, subject, reply, await self._process_headers(headers), data)
        except Exception:
            _log_incident(subject)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._direct.pop(b"%d" % sid, None)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        await super()._close(status, do_cbs)
        if not self._subs:
            self._direct.clear()


async def stop_receiving(subscription: Subscription) -> None:
    """Takes no more messages, but handles those that are here, also while the broker is away."""
    try:
        await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py
    except (errors.Error, OSError, TimeoutError) as error:
        logger.warning("no more messages are taken, although the broker could not be told: %s", error)


class _DirectParser(Parser):
    """nats-py's parser, which is spared every message that is there as a whole.

    It gets the rest in the pieces that it would take anyway: control lines, the beginning of a message whose
    end is not there yet, and that end.
    """

    def __init__(self, client: LeanClient, direct: Mapping[bytes, Handler]) -> None:
        super().__init__(client)
        self._direct = direct

    async def parse(self, data: bytes = b"") -> None:
        """Handles what is complete with `data`, and keeps the rest for the next call."""
        # A reset replaces it: what is left of `data` then came from a connection that is gone.
        kept = self.buf
        position = 0
        if self.state == AWAITING_MSG_PAYLOAD:
            position = self.needed + len(_CRLF) - len(kept)
            await super().parse(data[:position])
        elif kept:
            # A control line that was cut.
            data = bytes(kept) + data
            kept.clear()
        while position < len(data) and self.buf is kept:
            line_end = data.find(_CRLF, position)
            if line_end < 0:
                await super().parse(data[position:])
                return
            words = data[position:line_end].split(b" ")
            begin = line_end + len(_CRLF)
            if _is_message(words):
                end = begin + int(words[-1])
                if end + len(_CRLF) > len(data):
                    await super().parse(data[position:])
                    return
                await self._take(words, data, begin, end)
                position = end + len(_CRLF)
            else:
                await super().parse(data[position:begin])
                position = begin
                if self.buf is kept and (kept or self.state == AWAITING_MSG_PAYLOAD):
                    # nats-py reads more into that line than any server writes.
                    await super().parse(data[position:])
                    return

    async def _take(self, words: list[bytes], data: bytes, begin: int, end: int) -> None:
        """Handles the message between `begin` and `end` whose control line is `words`."""
        block: bytes | None = None
        words_without_reply = 4
        if words[0] == b"HMSG":
            words_without_reply = 5
            headers_end = begin + int(words[-2])
            block = data[begin:headers_end] or None
            begin = headers_end
        reply = words[3] if len(words) > words_without_reply else b""
        handler = self._direct.get(words[2])
        if handler is None or not (block is None or block.startswith(_PLAIN_HEADERS)):
            await self.nc._process_msg(int(words[2]), words[1], reply, data[begin:end], block)
            return
        headers = None if block is None else self.nc._parse_header_lines(block[len(_PLAIN_HEADERS) :]) or None
        self.nc.hand_over(handler, words[1], reply, headers, data[begin:end])


def _is_message(words: list[bytes]) -> bool:
    """Whether these are the words of `MSG subject sid [reply] size` or `HMSG … headers-size size`."""
    count = len(words)
    if not words[-1].isdigit():
        return False
    if words[0] == b"MSG":
        return 4 <= count <= 5 and words[2].isdigit()
    return words[0] == b"HMSG" and 5 <= count <= 6 and words[2].isdigit() and words[-2].isdigit()


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        key = name.strip()
        if not key:
            continue
        if not _HEADER_NAME.fullmatch(key):
            raise errors.BadHeaderError(key)
        lines.append(f"{key}: {value.strip().translate(_LINE_BREAKS)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


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


def _log_incident(subject: bytes) -> None:
    logger.exception("incident %s: a message on %r could not be handled", new_id(), subject[:200])
