"""The stream of frames: made where it is missing, read, and where it ends.

What decides is asked of the stream's leader (`STREAM.INFO`, `STREAM.MSG.GET`). Frames themselves may be read
from any replica: each says what it follows, so one that is not there yet is only late.

    LogStreamError             the log cannot be followed or led; `repair` says what to do
    ├── AnotherStoresLogError  it is another store's
    ├── TooFewReplicasError    the broker is no cluster, or too small a one
    └── DivergedLogError       it is not the one that this file is of
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import nats.errors

from bus.contract.stream_metadata import STORE_ID
from bus.contract.subjects import BusNames
from bus.replication.frame import Place, place_of
from bus.transport.connection import LeanClient
from bus.transport.ensured_streams import said
from bus.transport.jetstream import JetStreamApi, JetStreamError, UnansweredError
from bus.transport.jetstream_answers import StoredMessage, StreamReport

# The broker remembers the ids of messages for so long, and ours have none: sequences tell.
_DUPLICATE_WINDOW_NS = 100_000_000
# JetStream's numbers for: no peers for so many replicas; replicas without a cluster.
_NO_PEERS = {10005, 10074}
EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
# How long an answer is waited for. A cluster chooses another leader within as much.
APPEND_TIMEOUT_MS = 2_000


class LogStreamError(RuntimeError):
    """The log cannot be followed or led; `repair` says what to do."""

    def __init__(self, problem: str, repair: str) -> None:
        super().__init__(f"{problem}; {repair}")
        self.problem = problem
        self.repair = repair


class AnotherStoresLogError(LogStreamError):
    """The stream belongs to another store."""


class TooFewReplicasError(LogStreamError):
    """The broker is no cluster, or too small a one."""


class DivergedLogError(LogStreamError):
    """The log is not the one that this file is of."""


class LogEnd(msgspec.Struct, frozen=True):
    """Where the log ends: the sequence of its last message, and that message; the first that is there."""

    sequence: int = 0
    place: Place | None = None
    message: StoredMessage | None = None
    first: int = 1


class LogStream:
    """The log of one store, over the relay's connection. All raise `JetStreamError`, too."""

    def __init__(self, connection: LeanClient, names: BusNames, store_id: str) -> None:
        self._connection = connection
        self.api = JetStreamApi(connection)
        self.name = names.log
        self._names = names
        self._store_id = store_id

    async def prepare(self, replicas: int) -> StreamReport:
        """The stream with so many replicas; it is made where there is none.

        Raises:
            AnotherStoresLogError: it is another store's. TooFewReplicasError: the broker has not so many.
        """
        return await ensure_replicated(self.api, self._needed(), replicas, self._require_own)

    def _needed(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subjects": [self._names.frames],
            "retention": "limits",
            "storage": "file",
            # A frame that there is no room for is refused, and its group with it.
            "discard": "new",
            "allow_direct": True,
            "no_ack": False,
            "duplicate_window": _DUPLICATE_WINDOW_NS,
            "max_msg_size": -1,
            # Followers hear of each frame at once, and read it themselves.
            "republish": {
                "src": self._names.frames,
                "dest": self._names.live(self._names.frames),
                "headers_only": True,
            },
            "metadata": {STORE_ID: self._store_id},
        }

    def _require_own(self, report: StreamReport) -> None:
        owner = report.metadata.get(STORE_ID)
        if owner != self._store_id:
            raise AnotherStoresLogError(
                f"the stream {self.name} belongs to the store {owner}, and this one is {self._store_id}",
                "a member of that one begins with an empty data directory; a store of its own needs another"
                " prefix, or another nats-server",
            )

    async def end(self) -> LogEnd:
        """Where the log ends now, as the stream's leader says.

        Raises:
            ForeignFrameError: its last message is not a leader's. LogStreamError: the stream is gone, or has
                lost its last message.
        """
        report = await self.api.report(self.name)
        if report is None:
            raise LogStreamError(f"there is no stream {self.name}", "it is made again at the next start")
        self._require_own(report)
        counts = report.state
        if counts.messages == 0:
            return LogEnd(counts.last_seq, first=counts.last_seq + 1)
        message = await self.api.message_at(self.name, counts.last_seq)
        if message is None:
            raise LogStreamError(
                f"message {counts.last_seq} of {self.name} is gone",
                f"delete the stream {self.name} while the member with the highest position is to lead next",
            )
        return LogEnd(counts.last_seq, place_of(self.name, message), message, counts.first_seq)

    async def first_reaching(self, position: int, end: LogEnd) -> int | None:
        """The sequence of the first frame that ends at a position or behind it; `None`: there is none."""
        if end.place is None or end.place.last < position:
            return None
        low, high = end.first, end.sequence
        while low < high:
            middle = (low + high) // 2
            message = await self.api.message_at(self.name, middle)
            if message is not None and place_of(self.name, message).last >= position:
                high = middle
            else:
                low = middle + 1
        return low

    async def read(self, sequence: int) -> list[StoredMessage]:
        """Some of the messages from a sequence on, in order, as far as the replica that answers has them."""
        return await self.api.messages_from(self.name, sequence)

    async def append(self, messages: Sequence[bytes], after: int) -> int:
        """Stores the messages of a frame behind sequence `after`; the sequence of the last one.

        Each expects the one before it. So none is stored behind anything else, and the same messages may be
        sent again: they are stored once at most.

        Raises:
            WrongSequenceError: the log does not end there, or these messages are there already.
            StreamFullError: there is no room. UnansweredError: they may be stored, now or soon.
            JetStreamError: for another reason, they are not stored.
        """
        *first, (last, headers) = [
            (body, {EXPECTED_LAST_SEQUENCE: str(sequence)}) for sequence, body in enumerate(messages, after)
        ]
        if first:
            await self._publish(first)
        return await self.api.store(self._names.frames, last, headers, timeout_ms=APPEND_TIMEOUT_MS)

    async def _publish(self, messages: Sequence[tuple[bytes, dict[str, str]]]) -> None:
        if not self._connection.is_connected:
            raise JetStreamError("there is no connection to NATS")
        subject = self._names.frames
        try:
            await self._connection.publish_many((subject, "", body, headers) for body, headers in messages)
        except (nats.errors.Error, OSError) as error:
            why = str(error) or type(error).__name__
            raise UnansweredError(f"a frame could not be sent: {why}") from error


async def ensure_replicated(
    api: JetStreamApi,
    needed: dict[str, Any],
    replicas: int,
    require_own: Callable[[StreamReport], None],
) -> StreamReport:
    """The stream with the settings that it needs and so many replicas, or more; made where there is none.

    `require_own` raises what it likes where a stream that is there is not ours, before anything is changed.

    Raises:
        TooFewReplicasError: the broker has not so many. JetStreamError: it refuses, or does not answer.
    """
    name = needed["name"]
    try:
        report = await api.report(name)
        if report is None:
            report = await api.create({**needed, "num_replicas": replicas})
        require_own(report)
        wanted = {
            **report.config,
            **needed,
            "num_replicas": max(replicas, report.config.get("num_replicas", 1)),
            "metadata": {**report.metadata, **needed["metadata"]},
        }
        if said(wanted) != said(report.config):
            report = await api.update(wanted)
    except JetStreamError as error:
        if error.code not in _NO_PEERS:
            raise
        raise TooFewReplicasError(
            f"the nats-server cannot keep {replicas} copies of {name}: {error.problem}",
            "add nats-servers to the cluster; or set replication_replicas to 1, if one copy is meant",
        ) from error
    return report
