"""Compares the stream with the log, message by message, in the background.

    from the first message ──▶ some hundred, byte for byte ──▶ … ──▶ the last one ──▶ wait for more
     ▲                          ▲                              │                       │ a day later
     │                          └──── a pause, much longer ────┘                       │
     └─────────────────────────────────────────────────────────────────────────────────┘

The relay keeps the end of the stream equal to the end of the log. Of the messages before the end, a user with
all rights at the broker may have deleted some or put others there, and a damaged disk may not deliver them.
Only this comparison notices that. How far it has come is kept in a file, so that a restart goes on from
there.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.incident import internal
from bus.kept_files import write_private
from bus.log import chain
from bus.log.cloud_events import Origin, cloud_event_sql, event_id_sql
from bus.publishing.stream_state import (
    ForeignMessageError,
    StreamError,
    published_event,
    recorded_segments,
    segment_at,
)
from bus.transport.jetstream import BATCH_MESSAGES, JetStreamApi, JetStreamError
from hyperpage_client.contract.stream_metadata import Segment
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.documents import decoded
from hyperpage_client.transport.jetstream_answers import StoredMessage, StreamReport

# How often the stream is looked at when all of it was compared.
LOOK_SECONDS = 2.0
# The pauses, as multiples of the time that a comparison took: commands wait for the same interpreter, and for
# the broker. While events come, the audit takes a fiftieth of the time, for some 500 messages a second;
# otherwise a tenth. If more than that come, the audit falls behind until fewer do.
PAUSES_WHILE_BUSY, PAUSES = 50, 10
LONGEST_PAUSE_SECONDS = 30.0
# The most sequences that are compared at once, in a stream with large gaps.
MAXIMUM_SEQUENCES = 4 * BATCH_MESSAGES
REPEAT_MS = 24 * 3_600_000
# How often the file is written during a pass.
KEEP_SECONDS = 60.0
# The most differences that are reported one by one.
MAXIMUM_TOLD = 5

logger = logging.getLogger(__name__)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A message that differs from the log, or is missing."""

    sequence: int
    problem: str


class AuditState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the audit of the stream is.

    `sequence` is the last message that was compared in this pass; `last_sequence` is the stream's last one,
    `None` until it was asked. `whole_at` is when a pass last reached the end, in milliseconds since the
    epoch. `differing` is the number of messages that differ; the first ones are in `differences`. `deleted`
    messages are missing between others, or were missing when the service started, although no limit removed
    them.
    """

    sequence: int = 0
    last_sequence: int | None = None
    whole_at: int | None = None
    differing: int = 0
    deleted: int = 0
    differences: tuple[Difference, ...] = ()


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. The stream that was made at `created` equals the log up to `sequence`."""

    created: str = ""
    sequence: int = 0
    began_at: int = 0
    whole_at: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the pass has reached the end."""
        return self.whole_at is not None and self.whole_at >= self.began_at


# Subject, id, body.
Event = tuple[bytes, bytes, bytes]
decode_place = msgspec.json.Decoder(_Place).decode


class StreamAudit:
    """The audit of one store's stream of events; used on the event loop's thread, except `state`.

    `read` provides connections to the store, in other threads. `is_published` says whether the relay keeps
    the end of the stream equal to the log's; if not, the relay reports why. `lost_at_start` returns how many
    messages the stream with that creation time lacked at the service's start, beside those that nats-server
    counts. `kept` is the file for the place; without it, each start begins at the first message. `now_ms` is
    the time in milliseconds since the epoch.
    """

    def __init__(
        self,
        api: JetStreamApi,
        names: BusNames,
        origin: Origin,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
        *,
        is_published: Callable[[], bool],
        lost_at_start: Callable[[str], int] = lambda created: 0,
        kept: Path | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._api = api
        self._names = names
        self._origin = origin
        self._read = read
        self._is_published = is_published
        self._lost_at_start = lost_at_start
        self._kept = kept
        self._now_ms = now_ms
        self._events = (
            # As BLOBs, because texts of a damaged log may not be UTF-8.
            f"SELECT position, CAST({names.event_sql()} AS BLOB), CAST({event_id_sql(origin)} AS BLOB),"
            f" CAST({cloud_event_sql(origin)} AS BLOB) FROM events WHERE position BETWEEN ? AND ?"
        )
        self._place = _Place()
        self._kept_at = -float("inf")
        self._is_busy = False
        self.state = AuditState()

    async def run(self) -> None:
        """Compares for ever. After any error, it tries again."""
        self._place = place = await asyncio.to_thread(self._kept_place)
        self.state = AuditState(sequence=place.sequence, whole_at=place.whole_at)
        try:
            while True:
                began = time.monotonic()
                is_more_left = False
                try:
                    if self._is_published():
                        is_more_left = await self._go_on()
                except (StreamError, JetStreamError, apsw.Error, OSError, TimeoutError) as error:
                    logger.debug("the stream was not compared with the log: %s", error)
                except Exception as error:  # the service goes on without the comparison
                    internal(logger, "the stream was not compared with the log", error)
                took = time.monotonic() - began
                pauses = PAUSES_WHILE_BUSY if self._is_busy else PAUSES
                pause = min(took * pauses, LONGEST_PAUSE_SECONDS) if is_more_left else LOOK_SECONDS
                await asyncio.sleep(pause)
        finally:
            # In this thread, because the task was cancelled and must not wait for another one.
            with suppress(OSError):
                self._keep()

    async def _go_on(self) -> bool:
        """Compares some messages; true if there were any, so that more may be left."""
        report = await self._api.report(self._names.events)
        if report is None:
            return False
        counts = report.state
        self._begin_where_due(report.created)
        self._forget_before(counts.first_seq)
        self._is_busy = counts.last_seq != self.state.last_sequence
        deleted = counts.num_deleted + self._lost_at_start(report.created)
        self._note(last_sequence=counts.last_seq, deleted=deleted)
        start = max(self.state.sequence + 1, counts.first_seq)
        if start <= counts.last_seq:
            await self._compare(report, start)
            if time.monotonic() - self._kept_at > KEEP_SECONDS:
                await asyncio.to_thread(self._keep)
            return True
        # If the broker lost the end of the stream, the messages that come in its place are compared.
        self._note(sequence=counts.last_seq)
        if not self._place.is_whole:
            self._note(whole_at=max(self._now_ms(), self._place.began_at))
            await asyncio.to_thread(self._keep)
        return False

    def _begin_where_due(self, created: str) -> None:
        # `abs`, because the pass began in the future if the clock was ahead then.
        is_old = self._place.is_whole and abs(self._now_ms() - self._place.began_at) >= REPEAT_MS
        # Differences do not go away: after one, only a stream that is made anew is compared from the start.
        is_due = is_old and not self.state.differing
        if created != self._place.created or is_due:
            now, whole_at = self._now_ms(), self._place.whole_at
            if created != self._place.created or (whole_at is not None and whole_at >= now):
                whole_at = None
            self._place = _Place(created=created, began_at=now, whole_at=whole_at)
            self.state = AuditState(whole_at=whole_at)

    async def _compare(self, report: StreamReport, start: int) -> None:
        messages = await self._api.messages_from(self._names.events, start)
        if not messages and await self._api.message_at(self._names.events, start) is not None:
            # The answer came from a replica that is behind the one that stores messages.
            return
        last = start + MAXIMUM_SEQUENCES - 1
        if messages and messages[-1].sequence > last:
            messages, end = [one for one in messages if one.sequence <= last], last
        else:
            # If the broker cannot deliver a message, it says that there is none.
            end = messages[-1].sequence if messages else start
        segments = recorded_segments(
            self._names.events, self._origin.store_id, report.metadata, report.state.last_seq
        )
        there = {message.sequence for message in messages}
        absent = [sequence for sequence in range(start, end + 1) if sequence not in there]
        if absent:
            # A limit may have removed them meanwhile, as it does with the oldest.
            after = await self._api.report(self._names.events)
            if after is None or after.created != report.created:
                return
            absent = [sequence for sequence in absent if sequence >= after.state.first_seq]
        differing = await asyncio.to_thread(self._differing, messages, segments)
        stream = self._names.events
        differing |= {sequence: f"message {sequence} of {stream} is gone" for sequence in absent}
        self._tell(differing, end)

    def _differing(self, messages: Sequence[StoredMessage], segments: Sequence[Segment]) -> dict[int, str]:
        """The problems of messages that differ from the log, by their sequences."""
        found: dict[int, str] = {}
        with self._read() as connection:
            for segment, some in groupby(messages, lambda one: segment_at(segments, one.sequence)):
                stretch = list(some)
                positions = [one.sequence - (segment.offset if segment else 0) for one in stretch]
                events = self._events_between(connection, positions[0], positions[-1])
                for position, message in zip(positions, stretch, strict=True):
                    problem = self._problem_of(message, position, segment, events.get(position))
                    if problem is not None and not self._is_the_logs(connection, position, segment):
                        found[message.sequence] = problem
        return found

    def _events_between(self, connection: apsw.Connection, first: int, last: int) -> dict[int, Event]:
        """The events between two positions, by their positions, without those that SQLite cannot make."""
        try:
            return {row[0]: row[1:] for row in connection.execute(self._events, (first, last))}
        except (apsw.SQLError, apsw.CorruptError):
            if first == last:
                return {}
        middle = (first + last) // 2
        return self._events_between(connection, first, middle) | self._events_between(
            connection, middle + 1, last
        )

    def _problem_of(
        self, message: StoredMessage, position: int, segment: Segment | None, event: Event | None
    ) -> str | None:
        event_id = message.headers.get("Nats-Msg-Id", "")
        said = (message.subject.encode(), event_id.encode(), message.payload)
        if segment is not None and self._is_kept(position, segment) and event == said:
            return None
        stream, where = self._names.events, f"message {message.sequence}"
        try:
            one = published_event(self._names, self._origin.store_id, message)
        except ForeignMessageError as error:
            return error.problem
        if segment is None or (one.timeline, one.position) != (segment.timeline, position):
            return f"{where} of {stream} is event {one.timeline}-{one.position}, which belongs elsewhere"
        if not self._is_kept(position, segment):
            # The event is of a history that a restore gave up, so it cannot be compared with the log.
            return None
        return f"{where} of {stream} is not event {one.timeline}-{one.position} as the log has it"

    def _is_kept(self, position: int, segment: Segment) -> bool:
        """Whether the log still has the event at a position of a segment; a restore may have given it up."""
        return position > 0 and self._origin.timeline_at(position) == segment.timeline

    def _is_the_logs(self, connection: apsw.Connection, position: int, segment: Segment | None) -> bool:
        """Whether the log was changed, and not the stream; `chain.verify_chain` checks the log itself."""
        if segment is None or not self._is_kept(position, segment):
            return False
        try:
            row = chain.read_at(connection, position)
            return row is None or not chain.follows(chain.read_at(connection, position - 1), row)
        except (UnicodeDecodeError, TypeError, AttributeError, apsw.CorruptError):
            return True

    def _tell(self, differing: Mapping[int, str], end: int) -> None:
        for problem in [differing[sequence] for sequence in sorted(differing)][:MAXIMUM_TOLD]:
            logger.warning("the stream differs from the log: %s", problem)
        told = [Difference(sequence=sequence, problem=differing[sequence]) for sequence in sorted(differing)]
        if not self.state.differing and not differing:
            # Kept only up to the first difference, so that a restart finds it again.
            self._place = msgspec.structs.replace(self._place, sequence=end)
        self._note(
            sequence=end,
            # More messages may have come since the report.
            last_sequence=max(self.state.last_sequence or 0, end),
            differing=self.state.differing + len(differing),
            differences=(*self.state.differences, *told)[:MAXIMUM_TOLD],
        )

    def _forget_before(self, first_sequence: int) -> None:
        """Forgets the differences of messages that have left the stream: no subscriber can get them."""
        left = tuple(one for one in self.state.differences if one.sequence >= first_sequence)
        if len(left) < len(self.state.differences):
            is_all_gone = not left and self.state.differing <= MAXIMUM_TOLD
            self._note(differences=left, differing=0 if is_all_gone else self.state.differing)

    def _note(self, **changes: Any) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self._place = msgspec.structs.replace(self._place, whole_at=self.state.whole_at)

    def _kept_place(self) -> _Place:
        try:
            return _Place() if self._kept is None else decoded(decode_place, self._kept.read_bytes())
        except (OSError, msgspec.DecodeError):
            # The whole stream is compared again.
            return _Place()

    def _keep(self) -> None:
        self._kept_at = time.monotonic()
        if self._kept is not None:
            write_private(self._kept, msgspec.json.encode(self._place))
