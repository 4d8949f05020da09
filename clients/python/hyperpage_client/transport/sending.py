"""Publishing messages in groups: nats-py's own buffer and flusher, with a shortcut to the socket.

It leans on these parts of nats-py's `Client` that are not public: `_send_command`, `_flush_queue` (which a
task empties that writes `_pending`), `_pending_data_size`, `_max_pending_size`, `_max_payload`,
`_skip_subject_validation`, `_status`, and the `write` and `_io_writer` of `_transport`;
and on the `_ready` of asyncio's event loops, if it is there.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from nats import errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from hyperpage_client.transport import protocol

# Subject, reply subject ("" for none), body, headers (`None` for none).
RawMessage = tuple[str, str, bytes, Mapping[str, str] | None]

# The size of the pieces that are copied. A sender waits while more than 2 MiB (nats-py's limit) are buffered.
SLICE_BYTES = 512 * 1024


# Characters that would end a word or a line in a subject: the text behind them could be any protocol line.
_ends_a_word = re.compile(r"[ \t\r\n]").search


class SendingClient(Client):
    """A client that publishes messages in groups. Used from one event loop's thread."""

    def __init__(self) -> None:
        super().__init__()
        # The loop, kept: in Python 3.11, to ask for it each time would be a call of the system.
        self._loop: asyncio.AbstractEventLoop | None = None
        # The callbacks that come before the loop looks at sockets; our own write may be one of them.
        self._turns: Collection[object] | None = None
        self._is_writing_soon = self._is_gathering = False

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

        When this returns, the messages are written to the socket, behind all that was published before. What
        the socket does not take at once follows by itself.
        """
        if not self._kept(messages):
            return False
        self._write_pending()
        return True

    def publish_soon(self, message: RawMessage) -> bool:
        """As `publish_now` of one message, but written in one piece with others that are published soon.

        These are the messages of a block of `gathering`. Outside of one, they are those of this turn of the
        loop; if no other callback has a turn, the message is written at once.
        """
        # The same as in `_kept`, for a third of the cost: each command and each answer goes through here.
        head, body, end = parts = self._parts_of(message)
        size = len(head) + len(body) + len(end)
        if self._status != Client.CONNECTED:
            self._require_open(size)
        if self._pending_data_size + size > self._max_pending_size:
            return False
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(body)
        self._pending += parts
        self._pending_data_size += size
        if self._is_gathering:
            self._is_writing_soon = True
            return True
        if (loop := self._loop) is None:
            loop = self._loop = asyncio.get_running_loop()
            self._turns = getattr(loop, "_ready", None)
        turns = self._turns
        if turns is not None and len(turns) == self._is_writing_soon:
            self._write_pending()
        elif not self._is_writing_soon:
            self._is_writing_soon = True
            loop.call_soon(self._write_pending)
        return True

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Writes what is published soon within the block at its end; nothing in the block may wait."""
        self._is_gathering = True
        try:
            yield
        finally:
            self._is_gathering = False
            if self._is_writing_soon:
                self._write_pending()

    async def publish_encoded(self, messages: bytes, count: int) -> None:
        """As `publish_many`, for whole messages that are in the protocol's form already.

        The caller has made sure that none of them is too long for the broker.
        """
        self._require_open(len(messages))
        self.stats["out_msgs"] += count
        self.stats["out_bytes"] += len(messages)
        await self._send_command(messages)
        self._flush_soon()

    def _require_open(self, size_bytes: int = 0) -> None:
        if self.is_closed:
            raise errors.ConnectionClosedError
        if self.is_draining_pubs:
            raise errors.ConnectionDrainingError
        if not self.is_connected and self._pending_data_size + size_bytes > self._max_pending_size:
            raise errors.OutboundBufferLimitError

    def _parts(self, messages: Iterable[RawMessage]) -> list[bytes]:
        """The three parts of each message, as `_parts_of` has them."""
        self._require_open()
        parts: list[bytes] = []
        for message in messages:
            parts += self._parts_of(message)
        return parts

    def _parts_of(self, message: RawMessage) -> tuple[bytes, bytes, bytes]:
        """The bytes before a message's body, the body, the end of the line."""
        subject, reply, body, headers = message
        if not subject:
            raise errors.BadSubjectError
        if not self._skip_subject_validation and (_ends_a_word(subject) or _ends_a_word(reply)):
            raise errors.BadSubjectError
        if len(body) > self._max_payload:
            raise errors.MaxPayloadError
        return protocol.head(subject, reply, len(body), headers), body, protocol.CRLF

    def _count_sent(self, parts: list[bytes]) -> None:
        bodies = parts[1::3]
        self.stats["out_msgs"] += len(bodies)
        self.stats["out_bytes"] += sum(map(len, bodies))

    def _kept(self, messages: Iterable[RawMessage]) -> bool:
        """Puts the messages into nats-py's buffer; whether there was room for them."""
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
        """The transport, if the socket has taken all that it was given; otherwise None."""
        transport = self._transport
        if self.is_connected and isinstance(transport, TcpTransport) and transport._io_writer is not None:
            return None if transport._io_writer.transport.get_write_buffer_size() else transport
        return None

    def _write_pending(self) -> None:
        """Writes what is in nats-py's buffer. A task of nats-py does so, too, a turn of the loop later."""
        self._is_writing_soon = False
        transport = self._free_transport
        if transport is None:
            # That task waits for the socket.
            self._flush_soon()
        elif self._pending:
            transport.write(b"".join(self._pending))  # type: ignore[no-untyped-call]  # nats-py
            self._pending = []
            self._pending_data_size = 0

    def _flush_soon(self) -> None:
        """Wakes nats-py's writing task, unless it was woken. Without a connection, the next one does so."""
        if self.is_connected and self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())


def _slices(parts: list[bytes], size_bytes: int) -> Iterator[bytes]:
    """The messages, of three parts each, joined into slices; none is split, since others send in between."""
    if size_bytes <= SLICE_BYTES:
        yield b"".join(parts)
        return
    begin = gathered_bytes = 0
    for end in range(3, len(parts) + 1, 3):
        gathered_bytes += sum(map(len, parts[end - 3 : end]))
        if gathered_bytes >= SLICE_BYTES or end == len(parts):
            yield b"".join(parts[begin:end])
            begin, gathered_bytes = end, 0
