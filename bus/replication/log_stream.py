"""`LogStream`: the stream of frames. It is made if it is missing, read, and written at its end.

Questions that decide something go to the stream's leader (`STREAM.INFO`, `STREAM.MSG.GET`). Frames may be
read from any replica: each says what it follows, so one that a replica lacks is only late.

    LogStreamError             the log cannot be followed or led; `repair` says what to do
    ├── AnotherStoresLogError  it is another store's
    ├── TooFewReplicasError    the broker is no cluster, or too small a cluster
    ├── DivergedLogError       it has other events than this file
    │   └── EarlierTimelineError  the file was restored, and the log was not begun anew yet
    └── OutdatedFileError      the file has to be made anew before it can follow
        ├── GapError            the log begins after the end of the file
        └── LaterTimelineError  a leader was restored, or took over, without all that the file has
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import msgspec

from bus.replication.frame import Frame, FrameError, Frames, Place, place_of
from bus.transport.ensured_streams import said
from bus.transport.jetstream import JetStreamApi, JetStreamError
from bus.transport.stream_limits import NO_LIMITS, Limits
from hyperpage_client.contract.stream_metadata import LOG_BEGINS, STORE_ID, TIMELINE
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import NO_PEERS, StoredMessage, StreamReport

# How long the broker remembers the ids of messages. Frames have none: their sequences tell repeated ones.
_DUPLICATE_WINDOW_NS = 100_000_000
# The broker's error code when another process has just made the stream.
_NAME_IN_USE = 10058
EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
# The repair if the streams of a cluster are another store's.
BEGIN_EMPTY = (
    "a member of that one begins with an empty data directory; a store of its own needs another prefix,"
    " or another nats-server"
)
# How long to wait for an answer. A cluster can choose another leader of the stream in that time.
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
    """The broker is no cluster, or too small a cluster."""


class DivergedLogError(LogStreamError):
    """The log has other events than this file."""


class EarlierTimelineError(DivergedLogError):
    """The log is of an earlier timeline than the file: a leader with such a file begins the log anew."""


class OutdatedFileError(LogStreamError):
    """The file has to be made anew, from a backup or the archive, before it can follow."""


class GapError(OutdatedFileError):
    """The log begins after the end of the file."""


class LaterTimelineError(OutdatedFileError):
    """The log is of a later timeline: a leader was restored, or took over without all that the file has."""


class Tail(NamedTuple):
    """The last message of the log: its sequence, and its body, or None if that is there no more."""

    sequence: int
    body: bytes | None


class LogEnd(msgspec.Struct, frozen=True):
    """Where the log ends: the `sequence` and `place` of its last `message`; `first` is its oldest sequence.

    `position` is where its last whole frame ends, as far as that message tells; without a message, the
    position after which it begins. `timeline` is the one that the log was made with, `made_at` the sequence
    that it was made with: a log made later has a higher one.
    """

    sequence: int = 0
    place: Place | None = None
    message: StoredMessage | None = None
    first: int = 1
    timeline: int = 1
    begins: int = 0
    made_at: int = 0

    @property
    def tail(self) -> Tail:
        """The message that the next one has to follow."""
        return Tail(self.sequence, None if self.message is None else self.message.payload)

    @property
    def position(self) -> int:
        if self.place is None:
            return self.begins
        # A frame that is not whole tells only where the log ended before it.
        return self.place.last if self.place.part == self.place.parts else self.place.after


class LogBeginning(msgspec.Struct, frozen=True):
    """Where the log begins: the position before its first frame. `timeline` is the one it was made with."""

    timeline: int
    position: int
    newest: int
    """The timeline at its end."""


class LogStream:
    """The log of one store, over the relay's connection. All methods raise `JetStreamError`, too."""

    def __init__(self, connection: LeanClient, names: BusNames, store_id: str) -> None:
        self.api = JetStreamApi(connection)
        self.name = names.log
        self._names = names
        self.store_id = store_id

    @classmethod
    async def there(cls, connection: LeanClient, names: BusNames) -> Self | None:
        """The present log, whichever store it belongs to; None if there is none.

        Raises:
            AnotherStoresLogError: the stream names no store.
        """
        report = await JetStreamApi(connection).report(names.log)
        if report is None:
            return None
        log = cls(connection, names, report.metadata.get(STORE_ID, ""))
        if not log.store_id:
            log._require_own(report)
        return log

    async def prepare(
        self, replicas: int, *, timeline: int, position: int, limits: Limits = NO_LIMITS
    ) -> StreamReport:
        """The stream with that many replicas. If there is none, it is made, to go on after that position.

        Raises:
            AnotherStoresLogError: it is another store's.
            TooFewReplicasError: the broker cannot keep that many.
        """
        made_with = {
            # A leader of a stream that was deleted may come back. No message of it must fit into this stream,
            # so no two streams have the same sequences.
            "first_seq": time.time_ns() // 1_000,
            "metadata": {STORE_ID: self.store_id, TIMELINE: str(timeline), LOG_BEGINS: str(position)},
        }
        needed = self._needed() | limits.config
        return await ensure_replicated(self.api, needed, replicas, self._require_own, made_with)

    def _needed(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subjects": [self._names.frames],
            "retention": "limits",
            "storage": "file",
            # A frame without room is refused, and its group with it.
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
            "metadata": {STORE_ID: self.store_id},
        }

    def _require_own(self, report: StreamReport) -> None:
        owner = report.metadata.get(STORE_ID)
        if owner != self.store_id:
            raise AnotherStoresLogError(
                f"the stream {self.name} belongs to the store {owner}, and this one is {self.store_id}",
                BEGIN_EMPTY,
            )

    async def begin_anew(self, *, timeline: int, position: int) -> None:
        """Deletes the stream, and makes it for a log that goes on after a position of another timeline.

        Raises:
            AnotherStoresLogError: it is another store's.
        """
        if (report := await self.api.report(self.name)) is None:
            raise self._is_gone()
        self._require_own(report)
        replicas, limits = report.config.get("num_replicas", 1), report.config.get("max_bytes", -1)
        await self.api.delete(self.name)
        await self.prepare(
            replicas, timeline=timeline, position=position, limits=Limits(size_bytes=max(0, limits))
        )

    def _is_gone(self) -> LogStreamError:
        return LogStreamError(
            f"there is no stream {self.name}",
            "start the member with the highest position anew: it makes the log again",
        )

    async def end(self) -> LogEnd:
        """Where the log ends now, as the stream's leader says.

        Raises:
            ForeignFrameError: its last message is not a leader's. LogStreamError: the stream is gone, or has
                lost its last message.
        """
        report = await self.api.report(self.name)
        if report is None:
            raise self._is_gone()
        self._require_own(report)
        timeline, begins = _made_for(report)
        counts, made_at = report.state, int(report.config.get("first_seq", 0))
        if counts.messages == 0:
            return LogEnd(counts.last_seq, None, None, counts.last_seq + 1, timeline, begins, made_at)
        message = await self.api.message_at(self.name, counts.last_seq)
        if message is None:
            raise LogStreamError(
                f"message {counts.last_seq} of {self.name} is gone",
                f"delete the stream {self.name}, and start the member with the highest position anew: it"
                " makes the log again",
            )
        place = place_of(self.name, message)
        return LogEnd(counts.last_seq, place, message, counts.first_seq, timeline, begins, made_at)

    async def beginning(self) -> LogBeginning:
        """Where the log begins: a file that ends before that needs a backup or the archive first.

        Raises:
            ForeignFrameError: its first message is not a leader's. LogStreamError: the stream is gone.
        """
        while True:
            if (report := await self.api.report(self.name)) is None:
                raise self._is_gone()
            self._require_own(report)
            timeline, position = _made_for(report)
            if report.state.messages == 0:
                return LogBeginning(timeline, position, timeline)
            message = await self.api.message_at(self.name, report.state.first_seq)
            # The oldest messages may be deleted meanwhile.
            if message is not None:
                newest = await self._newest_timeline(timeline)
                return LogBeginning(timeline, place_of(self.name, message).after, newest)

    async def _newest_timeline(self, first: int) -> int:
        try:
            last = await self.last_frame(await self.end())
        except (FrameError, LogStreamError):
            # A follower reports the problem itself.
            return first
        return first if last is None else last.timeline

    async def last_frame(self, end: LogEnd) -> Frame | None:
        """The last whole frame of a log that ends there; None if there is none.

        Raises:
            FrameError: it cannot be read.
        """
        last = end.sequence
        while last >= end.first:
            message = await self.api.message_at(self.name, last)
            place = None if message is None else place_of(self.name, message)
            # A frame that was begun and not ended does not count.
            if message is not None and place is not None and place.part == place.parts:
                frames = Frames(self.name)
                for sequence in range(max(end.first, last - place.parts + 1), last):
                    if (one := await self.api.message_at(self.name, sequence)) is not None:
                        frames.take(one)
                if (frame := frames.take(message)) is not None:
                    return frame
            last -= 1
        return None

    async def first_reaching(self, position: int, end: LogEnd) -> int | None:
        """The sequence of the first frame that ends at a position or after it; None if there is none."""
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

    async def drop_before(self, position: int) -> int:
        """The number of messages deleted: those of frames that end before a position.

        The messages that stay lead on from there. The last one always stays.

        Raises:
            What `end` does.
        """
        end = await self.end()
        first = await self.first_reaching(min(position, end.position), end)
        if first is None or first <= end.first:
            return 0
        await self.api.purge(self.name, first)
        return first - end.first

    async def read(self, sequence: int) -> list[StoredMessage]:
        """Some of the messages from a sequence on, in order, as far as the replica that answers has them."""
        return await self.api.messages_from(self.name, sequence)

    async def append(self, body: bytes, tail: Tail) -> Tail:
        """The new end of the log, with a message stored right after `tail`.

        The message expects the sequence of `tail`, so it is stored after nothing else, and may be sent again:
        it is stored once at most. The parts of a frame are sent one after the other, each once the one before
        is known to be stored: otherwise the last part could follow another leader's messages.

        Raises:
            WrongSequenceError: the log does not end there, or the message is there already.
            StreamFullError: there is no room. UnansweredError: it may be stored, now or soon.
            JetStreamError: for another reason, it is not stored.
        """
        # It does not expect the id of `tail`, too: nats-server compares ids on each replica (`Publisher`).
        headers = {EXPECTED_LAST_SEQUENCE: str(tail.sequence)}
        sequence = await self.api.store(self._names.frames, body, headers, timeout_ms=APPEND_TIMEOUT_MS)
        return Tail(sequence, body)


def _made_for(report: StreamReport) -> tuple[int, int]:
    """The timeline that the log was made with, and the position after which it begins."""
    return int(report.metadata.get(TIMELINE, "1")), int(report.metadata.get(LOG_BEGINS, "0"))


async def ensure_replicated(
    api: JetStreamApi,
    needed: dict[str, Any],
    replicas: int,
    require_own: Callable[[StreamReport], None],
    made_with: Mapping[str, Any] = MappingProxyType({}),
) -> StreamReport:
    """The stream with the settings `needed` and that many replicas, or more; made if there is none.

    `require_own` raises an error if the stream is not this store's, before anything is changed. A new stream
    gets the settings `made_with`, too, which are never changed later.

    Raises:
        TooFewReplicasError: the broker cannot keep that many.
        JetStreamError: it refuses, or does not answer.
    """
    name = needed["name"]
    try:
        report = await api.report(name)
        if report is None:
            report = await _made(api, {**needed, "num_replicas": replicas, **made_with})
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
        if error.code not in NO_PEERS:
            raise
        raise TooFewReplicasError(
            f"the nats-server cannot keep {replicas} copies of {name}: {error.problem}",
            "add nats-servers to the cluster; or set replication_replicas to 1, if one copy is meant",
        ) from error
    return report


async def _made(api: JetStreamApi, config: dict[str, Any]) -> StreamReport:
    """The stream, made by this process, or by another one at the same moment."""
    try:
        return await api.create(config)
    except JetStreamError as error:
        if error.code != _NAME_IN_USE or (found := await api.report(config["name"])) is None:
            raise
        return found
