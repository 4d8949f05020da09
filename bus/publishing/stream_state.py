"""Where a stream of events stands, compared with the log: conclusions from what was read, without any I/O.

    log      timeline 1: 1 2 3 4 5 6 7 8        restored to 6, which begins timeline 2 at 7
             timeline 2:             7 8 9
    stream   sequence    1 2 3 4 5 6 7 8 9 10 11
             holds       1 2 3 4 5 6 7 8│7 8  9
    segments             (timeline 1, from 1, offset 0) (timeline 2, from 7, offset 2)

Each event is one message, and only the relay publishes there. So within a segment, sequence − position is
constant, and the stream's last sequence gives the position that comes next, even after the messages are gone.
The segments are in the stream's metadata; each is written before its first message.

    StreamError                    publish nothing; `repair` says what to do
    ├── AnotherStoreError          the stream belongs to another store
    └── DivergedError              its events do not follow from this log
        ├── OtherHistoryError      they are those of another log of this store, which may be the right one
        └── ForeignMessageError    a message of another publisher is in it, and shifts all sequences after it
"""

from collections.abc import Mapping, Sequence

import msgspec

from bus.log.cloud_events import Origin
from hyperpage_client.contract.stream_metadata import (
    FOREIGN_SEQUENCE,
    OFFSETS,
    STORE_ID,
    Segment,
    decode_segments,
)
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.documents import decoded
from hyperpage_client.transport.jetstream_answers import StoredMessage


class StreamError(RuntimeError):
    """The stream cannot be published to; `repair` says what to do."""

    def __init__(self, problem: str, repair: str) -> None:
        super().__init__(f"{problem}; {repair}")
        self.problem = problem
        self.repair = repair


class AnotherStoreError(StreamError):
    """The stream belongs to another store."""


class DivergedError(StreamError):
    """The events in the stream do not follow from this log."""


class OtherHistoryError(DivergedError):
    """The stream has events that this log lacks, or different ones: another log was published there.

    Not raised after a restore: that begins a new timeline, so the events that it gave up are known as such.
    """


class ForeignMessageError(DivergedError):
    """A message in the stream is not the relay's, or not where it should be; `sequence` is its sequence."""

    def __init__(self, problem: str, repair: str, sequence: int) -> None:
        super().__init__(problem, repair)
        self.sequence = sequence


class PublishedEvent(msgspec.Struct, frozen=True):
    """An event as a stream has it."""

    sequence: int
    timeline: int
    position: int
    hash: str


class StreamStanding(msgspec.Struct, frozen=True):
    """Where a stream stands: its last sequence, and the position of the event to be published next.

    `segments` are those that the metadata must have before that event is published. `shared` is the last
    event that stream and log have in common, judged by the numbers: (sequence, position); `None` if there is
    none.
    """

    last_sequence: int
    next_position: int
    segments: tuple[Segment, ...]
    shared: tuple[int, int] | None


def how_to_refill(stream: str) -> str:
    """The repair that always works: SQLite has everything."""
    return f"`hyperpage stream refill --yes` deletes {stream} and fills it again from position 1"


class _CloudEvent(msgspec.Struct):
    id: str
    source: str
    type: str
    subject: str
    sequence: str
    timeline: int
    hash: str


_decode_event = msgspec.json.Decoder(_CloudEvent).decode


def published_event(names: BusNames, store_id: str, message: StoredMessage) -> PublishedEvent:
    """The event that a message of the stream carries.

    Raises:
        ForeignMessageError: it is not an event of this store.
    """
    try:
        event = decoded(_decode_event, message.payload)
        found = PublishedEvent(message.sequence, event.timeline, int(event.sequence), event.hash)
        if (
            event.source == f"hyperpage/{store_id}"
            and event.id == f"{found.timeline}-{found.position}"
            and message.subject == names.event(event.subject, event.type.removeprefix("hyperpage."))
        ):
            return found
    except (msgspec.DecodeError, ValueError, IndexError):
        # It is not JSON, or has no valid number or type, so it is not an event of this store.
        pass
    raise ForeignMessageError(
        f"message {message.sequence} of {names.events} ({message.subject}) is not an event of this store",
        how_to_refill(names.events),
        message.sequence,
    )


def recorded_segments(
    stream: str, store_id: str, metadata: Mapping[str, str], last_sequence: int
) -> tuple[Segment, ...]:
    """The segments that a stream's metadata names.

    Raises:
        AnotherStoreError: they are another store's.
        DivergedError: the stream has held messages, and its metadata does not name a store; or the metadata
            is damaged; or the stream has held a foreign message.
    """
    owner = metadata.get(STORE_ID)
    if owner is None and last_sequence == 0:
        return ()
    if owner is None:
        raise DivergedError(f"the stream {stream} was not made by this program", how_to_refill(stream))
    if owner != store_id:
        raise AnotherStoreError(
            f"the stream {stream} belongs to the store {owner}, and this one is {store_id}",
            "choose another prefix, or another nats-server, or delete the stream if that store is gone",
        )
    try:
        foreign_sequence = int(metadata.get(FOREIGN_SEQUENCE, 0))
        segments = decode_segments(metadata.get(OFFSETS, "[]"))
    except (msgspec.DecodeError, ValueError) as error:
        raise DivergedError(
            f"the metadata of the stream {stream} is not as it was written", how_to_refill(stream)
        ) from error
    # This applies even if the message was deleted since, because its sequence stays taken. It no longer
    # applies if the stream lost its messages and counts anew.
    if 0 < foreign_sequence <= last_sequence:
        raise DivergedError(
            f"message {foreign_sequence} of {stream} was not an event of this store", how_to_refill(stream)
        )
    return segments


def locate(
    stream: str,
    origin: Origin,
    head_position: int,
    *,
    last_sequence: int,
    segments: Sequence[Segment],
    last: PublishedEvent | None,
) -> StreamStanding:
    """Where a stream with this last sequence stands; `last` is the last event that it still has.

    Raises:
        OtherHistoryError: the stream is ahead of the log.
        DivergedError: its messages are not where its segments say.
    """
    # Segments that were planned but not begun are planned again.
    begun = [segment for segment in segments if segment.first_sequence <= last_sequence]
    if last_sequence > 0 and not begun:
        raise DivergedError(
            f"{stream} has held messages that its metadata does not account for", how_to_refill(stream)
        )
    if last is not None:
        _require_in_its_segment(stream, last, begun)
    reached = _reached(begun, last_sequence)
    next_position = _first_missing(origin, reached)
    newest = origin.timelines[-1][0]
    if next_position > head_position + 1 or max(reached, default=0) > newest:
        raise OtherHistoryError(
            f"{stream} is ahead of the log, which ends at position {head_position} of timeline {newest}",
            "put the newer log back, or bring back what backups and archive have with `hyperpage backup"
            " restore --latest --yes`, which begins a new timeline; or, if what the stream has more may be"
            f" forgotten, {how_to_refill(stream)}",
        )
    return StreamStanding(
        last_sequence,
        next_position,
        _continued(origin, begun, last_sequence + 1, next_position),
        _shared(origin, begun, next_position - 1),
    )


def position_reached(segments: Sequence[Segment], last_sequence: int, timeline: int) -> int:
    """The last position of a timeline that a stream has, or had; 0 if it never had one."""
    begun = [segment for segment in segments if segment.first_sequence <= last_sequence]
    return _reached(begun, last_sequence).get(timeline, 0)


def segment_at(segments: Sequence[Segment], sequence: int) -> Segment | None:
    """The segment that a message belongs to; `None` before the first."""
    return next((one for one in reversed(segments) if one.first_sequence <= sequence), None)


def _require_in_its_segment(stream: str, last: PublishedEvent, begun: Sequence[Segment]) -> None:
    segment = segment_at(begun, last.sequence)
    if (
        segment is None
        or segment.timeline != last.timeline
        or segment.offset != last.sequence - last.position
    ):
        raise ForeignMessageError(
            f"event {last.timeline}-{last.position} is not where it belongs, at {last.sequence} of {stream}",
            how_to_refill(stream),
            last.sequence,
        )


def _reached(begun: Sequence[Segment], last_sequence: int) -> dict[int, int]:
    """The last position that the stream has, or had, of each timeline."""
    ends = [one.first_sequence - 1 for one in begun[1:]] + [last_sequence]
    reached: dict[int, int] = {}
    for segment, end in zip(begun, ends, strict=False):
        reached[segment.timeline] = max(end - segment.offset, reached.get(segment.timeline, 0))
    return reached


def _first_missing(origin: Origin, reached: Mapping[int, int]) -> int:
    """The first position of the log that never was in the stream."""
    following = [first for _, first in origin.timelines[1:]]
    for (timeline, first), end in zip(origin.timelines, following, strict=False):
        have = max(reached.get(timeline, 0), first - 1)
        # Events from `end` on are history that a restore gave up.
        if have < end - 1:
            return have + 1
    timeline, first = origin.timelines[-1]
    return max(reached.get(timeline, 0), first - 1) + 1


def _continued(
    origin: Origin, begun: Sequence[Segment], next_sequence: int, next_position: int
) -> tuple[Segment, ...]:
    """The segments that the stream will have when the rest of the log is published without a break."""
    offset = next_sequence - next_position
    planned = [Segment(origin.timeline_at(next_position), next_position, offset)]
    if begun and (begun[-1].timeline, begun[-1].offset) == (planned[0].timeline, offset):
        planned.clear()
    planned += [
        Segment(timeline, first, offset) for timeline, first in origin.timelines if first > next_position
    ]
    return (*begun, *planned)


def _shared(origin: Origin, begun: Sequence[Segment], position: int) -> tuple[int, int] | None:
    if position == 0:
        return None
    timeline = origin.timeline_at(position)
    for segment in reversed(begun):
        if segment.timeline == timeline and segment.first_position <= position:
            return segment.first_sequence + position - segment.first_position, position
    return None
