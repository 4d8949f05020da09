"""The stream of frames: made where it is missing, read, and where it ends.

What decides is asked of the stream's leader (`STREAM.INFO`, `STREAM.MSG.GET`). Frames themselves may be read
from any replica: each says what it follows, so one that is not there yet is only late.

    LogStreamError             the log cannot be followed or led; `repair` says what to do
    ├── AnotherStoresLogError  it is another store's
    ├── TooFewReplicasError    the broker is no cluster, or too small a one
    ├── DivergedLogError      it is not the one that this file is of
    │   └── EarlierTimelineError  the file was restored, and the log was not begun anew yet
    └── OutdatedFileError     the file is to be made anew before it can follow
        ├── GapError            the log begins behind its end
        └── LaterTimelineError  the log goes on without what the file has: a leader was restored, or took over
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

# The broker remembers the ids of messages for so long, and ours have none: sequences tell.
_DUPLICATE_WINDOW_NS = 100_000_000
# Another one has just made the stream.
_NAME_IN_USE = 10058
EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
# What to do where the streams of a cluster are another store's.
BEGIN_EMPTY = (
    "a member of that one begins with an empty data directory; a store of its own needs another prefix,"
    " or another nats-server"
)
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


class EarlierTimelineError(DivergedLogError):
    """The log is of a timeline before that of the file: whoever leads with such a file begins it anew."""


class OutdatedFileError(LogStreamError):
    """The file is to be made anew before it can follow, of a backup or the archive."""


class GapError(OutdatedFileError):
    """The log begins behind the end of the file."""


class LaterTimelineError(OutdatedFileError):
    """The log is of a timeline behind that of the file: one that was restored leads, or took over."""


class Tail(NamedTuple):
    """The last message of the log: its sequence and its body; None where it is not there any more."""

    sequence: int
    body: bytes | None


class LogEnd(msgspec.Struct, frozen=True):
    """Where the log ends: the sequence of its last message, and that message; the first that is there.

    `position` is where its last whole frame ends, as far as that message tells; where there is none, the one
    behind which it begins. `timeline` is the one that it began with, `made_at` the sequence: one that
    is made later has a higher one.
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
        """What the next message is to follow."""
        return Tail(self.sequence, None if self.message is None else self.message.payload)

    @property
    def position(self) -> int:
        if self.place is None:
            return self.begins
        # One that was begun and not ended counts only as far as it says where it was to go on.
        return self.place.last if self.place.part == self.place.parts else self.place.after


class LogBeginning(msgspec.Struct, frozen=True):
    """Where the log begins: what its first frame goes on behind. `timeline` is the one it was made with."""

    timeline: int
    position: int
    newest: int
    """The timeline at its end."""


class LogStream:
    """The log of one store, over the relay's connection. All raise `JetStreamError`, too."""

    def __init__(self, connection: LeanClient, names: BusNames, store_id: str) -> None:
        self.api = JetStreamApi(connection)
        self.name = names.log
        self._names = names
        self.store_id = store_id

    @classmethod
    async def there(cls, connection: LeanClient, names: BusNames) -> Self | None:
        """The log that is there, whosever it is; None where there is none.

        Raises:
            AnotherStoresLogError: the stream is nobody's of ours.
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
        """The stream with so many replicas; where there is none, it is made, to go on behind that position.

        Raises:
            AnotherStoresLogError: it is another store's. TooFewReplicasError: the broker has not so many.
        """
        made_with = {
            # A leader of a stream that was deleted may come back, and is not to send what fits into this one:
            # so none of them has the sequences of another.
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
        """Deletes the stream, and makes it for a log that goes on behind a position of another timeline.

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
        """Where it begins: a file that ends before that needs something else first.

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
            # The first ones may go meanwhile.
            if message is not None:
                newest = await self._newest_timeline(timeline)
                return LogBeginning(timeline, place_of(self.name, message).after, newest)

    async def _newest_timeline(self, first: int) -> int:
        try:
            last = await self.last_frame(await self.end())
        except (FrameError, LogStreamError):
            # Who follows it tells.
            return first
        return first if last is None else last.timeline

    async def last_frame(self, end: LogEnd) -> Frame | None:
        """The last whole frame of a log that ends there; None where there is none.

        Raises:
            FrameError: it cannot be read.
        """
        last = end.sequence
        while last >= end.first:
            message = await self.api.message_at(self.name, last)
            place = None if message is None else place_of(self.name, message)
            # One that was begun and not ended does not count.
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

    async def drop_before(self, position: int) -> int:
        """Has the frames go that end before a position; how many messages these were.

        Those that stay lead on from there. The last one always stays.

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
        """Stores a message right behind `tail`; where the log ends then.

        It expects that sequence there, so it is stored behind nothing else, and may be sent again: it is
        stored once at most. A frame's parts are sent one after the other, each once the one before it is
        known to be there: otherwise the last part could follow somebody else's messages.

        Raises:
            WrongSequenceError: the log does not end there, or the message is there already.
            StreamFullError: there is no room. UnansweredError: it may be stored, now or soon.
            JetStreamError: for another reason, it is not stored.
        """
        # Not the id of the message there, too: nats-server compares that on each replica (`Publisher`).
        headers = {EXPECTED_LAST_SEQUENCE: str(tail.sequence)}
        sequence = await self.api.store(self._names.frames, body, headers, timeout_ms=APPEND_TIMEOUT_MS)
        return Tail(sequence, body)


def _made_for(report: StreamReport) -> tuple[int, int]:
    """The timeline of the log, and the position behind which it was begun."""
    return int(report.metadata.get(TIMELINE, "1")), int(report.metadata.get(LOG_BEGINS, "0"))


async def ensure_replicated(
    api: JetStreamApi,
    needed: dict[str, Any],
    replicas: int,
    require_own: Callable[[StreamReport], None],
    made_with: Mapping[str, Any] = MappingProxyType({}),
) -> StreamReport:
    """The stream with the settings that it needs and so many replicas, or more; made where there is none.

    `require_own` raises what it likes where a stream that is there is not ours, before anything is changed.
    One that is made gets what it is `made_with`, too, which stays as it is later.

    Raises:
        TooFewReplicasError: the broker has not so many. JetStreamError: it refuses, or does not answer.
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
    """The stream, made by this one, or by another one at the same moment."""
    try:
        return await api.create(config)
    except JetStreamError as error:
        if error.code != _NAME_IN_USE or (found := await api.report(config["name"])) is None:
            raise
        return found
