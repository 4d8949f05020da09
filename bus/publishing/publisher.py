"""Publishes to one stream, with many messages in flight. Each is stored right behind the one before, or not.

Every message names the sequence that it expects to be the stream's last (`Nats-Expected-Last-Sequence`). All
but the first also name the id of the message there (`Nats-Expected-Last-Msg-Id`), as a message of another
publisher may have taken the sequence. So if one message fails, all that follow fail; one that arrives twice
is refused; and the answer to one confirms all before it. Messages go out in blocks, and only the last of each
block asks for an answer.

For a stream with replicas, no message may expect an id: nats-server 2.11 to 2.15 compare it when they apply
the message, and a replica that finds another id there stops the stream for good ("last msgid mismatch"). Then
each message asks for an answer of its own.

nats-py's own `publish_async` waits for a future for each message, which never completes if the broker dies.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from secrets import token_urlsafe

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.transport.jetstream import JetStreamError, StreamFullError, WrongSequenceError
from hyperpage_client.transport import protocol
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import (
    FULL,
    INSUFFICIENT_RESOURCES,
    WRONG_LAST_SEQUENCE,
    Stored,
    stored,
)
from hyperpage_client.waiting import is_set_within

# The most messages in flight. More would gain nothing: the broker's own pipeline is full by then.
WINDOW_MESSAGES = 1_536
# Less than the 2 MiB that nats-py buffers before it makes the sender wait for the socket.
WINDOW_BYTES = 1536 * 1024
# The event loop gets its turn after this many messages, which take about half a millisecond.
BLOCK_MESSAGES = 64
BLOCK_BYTES = 64 * 1024
ANSWER_TIMEOUT_MS = 2_000
# How long the broker is to remember each message id, a setting of the stream. The default, two minutes, takes
# hundreds of megabytes of its memory at full speed. None of it is needed: sequences ensure that each message
# is stored once.
DUPLICATE_WINDOW_NS = 1_000_000_000
# Room for the headers, which count, too. nats-server closes the connection of a client that sends more than
# it accepts, and nats-py, which checks the payload alone, does not reconnect then.
HEADERS_BYTES = 1024
# How often a wait checks whether the connection was lost; nats-py tells only the connection's owner.
LINK_CHECK_MS = 100

# The repair for two errors of a stream after a failed write: no resources, and a wrong last sequence.
_AFTER_A_FULL_DISK = (
    "if this lasts: see to it that the disk of nats-server has room, and start nats-server again, which takes"
    " nothing more into a stream of which a write failed (the embedded one is started again by itself)"
)

# Subject, payload, headers.
Message = tuple[str, bytes, Mapping[str, str]]


class Block(msgspec.Struct, frozen=True):
    """Messages as bytes of the protocol. The first expects the last one sent; the last asks for an answer.

    The answer goes to `Publisher.reply`.
    """

    encoded: bytes
    count: int


class _Asked(msgspec.Struct):
    """The last message of a block in flight; `sent_bytes` are the bytes up to and including it."""

    sequence: int
    sent_bytes: int


class Publisher:
    """One stream's publisher, used by one task. `stored` is the last sequence known to be stored.

    `on_stored` is called with it when it grows. After an error, `begin` starts again.
    """

    def __init__(
        self, connection: LeanClient, stream: str, *, on_stored: Callable[[int], None] = lambda sequence: None
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._on_stored = on_stored
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._round = 0
        # The beginning of the ids of messages.
        self._token = token_urlsafe(6)
        self.is_replicated = False
        self._restart(0)

    async def open(self) -> None:
        """Receives answers from now on."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", cb=self._take_answer)

    async def close(self) -> None:
        """Receives no more answers."""
        if self._subscription is not None and not self._connection.is_closed:
            await self._subscription.unsubscribe()

    @property
    def in_flight(self) -> int:
        """The number of messages that were sent and are not known to be stored."""
        return self._sent - self.stored

    def begin(self, last_sequence: int, *, is_replicated: bool) -> None:
        """Continues behind the stream's last sequence; messages in flight from before no longer count.

        `is_replicated` says that the stream is on several nats-servers.
        """
        self._round += 1
        self.is_replicated = is_replicated
        self._restart(last_sequence)

    def nudge(self) -> None:
        """Ends a `pause`."""
        self._changed.set()

    @property
    def reply(self) -> str:
        """The subject on which the answer to a block is expected."""
        return f"{self._inbox}.{self._round}"

    @property
    def is_first(self) -> bool:
        """Whether nothing was sent since `begin`.

        The first block should be a single message: if it fails, its answer has the reason. The answers to
        later blocks only say that the message before is missing.
        """
        return not self._asked and not self._answered

    async def send(self, messages: Sequence[Message]) -> None:
        """Sends the next messages. Waits while too much is in flight.

        Raises:
            WrongSequenceError: the stream's last sequence is not what a message, or an earlier one, expects.
            JetStreamError: a message, or an earlier one, was not stored within 2 s; or the connection broke.
        """
        start = 0
        while start < len(messages):
            is_alone = self.is_first or self.is_replicated
            following = messages[start : start + (1 if is_alone else BLOCK_MESSAGES)]
            sizes = accumulate(len(payload) for _, payload, _ in following)
            count = max(1, sum(size <= BLOCK_BYTES for size in sizes))
            await self.send_block(self._block(following[:count]))
            start += count

    async def send_block(self, block: Block) -> None:
        """Sends messages that were encoded elsewhere; otherwise the same as `send`."""
        while self._is_full():
            await self.pause(ANSWER_TIMEOUT_MS)
        self._require_link()
        if not self.in_flight:
            self._last_answer = time.monotonic()
        self._sent += block.count
        self._sent_bytes += len(block.encoded)
        self._asked.append(_Asked(self._sent, self._sent_bytes))
        try:
            await self._connection.publish_encoded(block.encoded, block.count)
        except nats.errors.Error as error:
            raise JetStreamError(f"the connection to NATS takes no messages: {error}") from error
        await asyncio.sleep(0)

    def require_size(self, what: str, size_bytes: int) -> None:
        """Returns if the broker accepts a message of that size, headers included.

        Raises:
            JetStreamError: it does not.
        """
        if size_bytes > self._connection.max_payload:
            raise JetStreamError(
                f"nats-server takes no message of {size_bytes} bytes ({what})",
                "set max_payload of the nats-server to 1 MiB at least",
            )

    def _block(self, messages: Sequence[Message]) -> Block:
        parts: list[bytes] = []
        for number, (subject, payload, headers) in enumerate(messages, 1):
            self.require_size(subject, len(payload) + HEADERS_BYTES)
            before = self._sent + number - 1
            expected = {
                **headers,
                "Nats-Msg-Id": self._id(before + 1),
                "Nats-Expected-Last-Sequence": str(before),
            }
            if not self.is_replicated and not (self.is_first and number == 1):
                expected["Nats-Expected-Last-Msg-Id"] = self._id(before)
            reply = self.reply if number == len(messages) else ""
            parts += (protocol.head(subject, reply, len(payload), expected), payload, protocol.CRLF)
        return Block(b"".join(parts), len(messages))

    def _id(self, sequence: int) -> str:
        return f"{self._token}-{self._round}-{sequence}"

    def _is_full(self) -> bool:
        return self.in_flight >= WINDOW_MESSAGES or self._sent_bytes - self._stored_bytes >= WINDOW_BYTES

    async def pause(self, timeout_ms: int) -> bool:
        """Whether something happened within this time: an answer, or a `nudge`.

        Raises:
            WrongSequenceError, JetStreamError: as `send`.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            self._require_link()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # While nothing is in flight, nothing can be lost.
            slice_seconds = min(left, LINK_CHECK_MS / 1000) if self.in_flight else left
            if await is_set_within(self._changed, slice_seconds * 1000):
                self._changed.clear()
                self._require_link()
                return True

    async def settle(self) -> None:
        """Returns when everything that was sent is stored.

        Raises:
            WrongSequenceError, JetStreamError: as `send`.
        """
        while self.in_flight:
            await self.pause(ANSWER_TIMEOUT_MS)

    def _restart(self, last_sequence: int) -> None:
        self.stored = last_sequence
        self._sent = last_sequence
        self._sent_bytes = 0
        self._stored_bytes = 0
        self._asked: deque[_Asked] = deque()
        self._answered = False
        self._failure: JetStreamError | None = None
        self._connections = self._connection.stats["reconnects"]
        self._last_answer = time.monotonic()

    async def _take_answer(self, message: Msg) -> None:
        if message.subject != self.reply or self._failure is not None:
            return
        answer = stored(message.headers, message.data)
        self._answered = True
        asked = self._asked.popleft() if self._asked else _Asked(0, 0)
        # JetStream answers in the order of the messages.
        if answer.error is None and answer.seq == asked.sequence and not answer.duplicate:
            self.stored = asked.sequence
            self._stored_bytes = asked.sent_bytes
            self._last_answer = time.monotonic()
            self._on_stored(self.stored)
        else:
            self._failure = _failure_of(self._stream, answer, asked.sequence)
        self._changed.set()

    def _require_link(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._connection.is_connected or self._connection.stats["reconnects"] != self._connections:
            self._failure = JetStreamError("the connection to NATS was lost")
            raise self._failure
        if self.in_flight and time.monotonic() - self._last_answer > ANSWER_TIMEOUT_MS / 1000:
            self._failure = JetStreamError(
                f"JetStream did not say within {ANSWER_TIMEOUT_MS} ms that {self._stream} has a message"
            )
            raise self._failure


def _failure_of(stream: str, answer: Stored, sequence: int) -> JetStreamError:
    if answer.error is None:
        return WrongSequenceError(
            f"{stream} put message {sequence} at {answer.seq}" + (" already" if answer.duplicate else "")
        )
    if answer.error.err_code == WRONG_LAST_SEQUENCE:
        return WrongSequenceError(
            f"{stream} does not end before {sequence}: {answer.error.description}", _AFTER_A_FULL_DISK
        )
    if answer.error.description in FULL:
        return StreamFullError(
            f"{stream} did not store a message: {answer.error.description}",
            "raise its limit in the settings, or make room",
        )
    return JetStreamError(
        f"{stream} did not store a message: {answer.error.description}",
        _AFTER_A_FULL_DISK if answer.error.err_code == INSUFFICIENT_RESOURCES else None,
    )
