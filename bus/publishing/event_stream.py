"""The stream of events on the broker: made if it is missing, compared with the log, and marked as ours."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import apsw

from bus.log import chain
from bus.log.cloud_events import Origin
from bus.publishing.publisher import DUPLICATE_WINDOW_NS
from bus.publishing.stream_losses import Loss, first_there, lost_at_beginning, lost_between
from bus.publishing.stream_state import (
    AnotherStoreError,
    DivergedError,
    ForeignMessageError,
    OtherHistoryError,
    PublishedEvent,
    StreamError,
    StreamStanding,
    how_to_refill,
    locate,
    published_event,
    recorded_segments,
)
from bus.transport.ensured_streams import limited, said, within_room
from bus.transport.jetstream import JetStreamApi, JetStreamError
from bus.transport.stream_limits import NO_LIMITS, Limits
from hyperpage_client.contract.stream_metadata import (
    BEGINS_AT,
    FOREIGN_SEQUENCE,
    INCARNATION,
    Segment,
    metadata_of,
)
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.jetstream_answers import NO_STREAM, STORAGE_EXCEEDED, StreamReport

# Settings by which a stream gets messages that were not published to it, or changes published ones.
_OTHER_SOURCES = ("sources", "subject_transform")
_DAMAGED = "`hyperpage doctor` says what is damaged, and how to bring it back"

logger = logging.getLogger(__name__)


class EventStream:
    """The stream of one store's events, within `limits`. `read` provides a connection to that store."""

    def __init__(
        self,
        api: JetStreamApi,
        names: BusNames,
        origin: Origin,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._limits = limits
        self._api = api
        self._names = names
        self._origin = origin
        self._read = read
        # The incarnation that serves the store, from the metadata that the stream last had.
        self._serving: dict[str, str] = {}
        # As of the last call of `stand`.
        self.is_replicated = False
        # The creation time of a stream that lacked its last messages at the start.
        self._cut_off: str | None = None
        # The creation time of the stream that was checked at the start: with the number of other messages
        # that it lacked; and if it lacked none, with its first sequence.
        self._lost = ("", 0)
        self._began = ("", 1)

    async def require_own(self, *, may_delete: bool) -> bool:
        """Makes the stream if it is missing; true if the log has events, or if that is unknown.

        `may_delete` says that a stream that a power cut has damaged may be deleted and filled again, because
        no other program has consumers on it. If it may not, `stand` or `lost_at_start` reports the damage.

        Raises:
            AnotherStoreError: the stream belongs to another store.
            OtherHistoryError: the stream belongs to another log of this store.
            JetStreamError: JetStream does not answer, or refuses.
        """
        report = await self._found_or_made()
        try:
            _, head, _ = await self._compare(report)
            loss = await self._loss(report)
        except (AnotherStoreError, OtherHistoryError):
            raise
        except (DivergedError, apsw.Error):
            # `stand` reports this, and a log that cannot be read.
            return True
        if loss is not None and may_delete:
            # All messages are in the log.
            logger.warning("%s lacks %s, and is filled anew", self._names.events, loss)
            await self.delete()
            await self._made()
        elif loss is Loss.END:
            # Publishing further would leave a gap that is never filled.
            self._cut_off = report.created
        return head.position > 0

    def lost_at_start(self, created: str) -> int:
        """The number of messages that the stream lacked at the start, although no limit removed them.

        It is 0 unless `created` is the stream's creation time. Messages between others are left out if
        nats-server counts them itself.
        """
        of, lost = self._lost
        return lost if created == of else 0

    async def stand(self) -> tuple[StreamStanding, chain.Head, chain.Row | None]:
        """Where the stream stands, the head of the log, and the row to be published next.

        The stream is made if it is missing. Its metadata lists every segment that the stream will have when
        the log is published to its end.

        Raises:
            StreamError: the stream cannot be published to; `repair` says what to do.
            JetStreamError: JetStream does not answer, or refuses.
        """
        report = await self._found_or_made()
        if report.config.get("sealed"):
            stream = self._names.events
            raise StreamError(f"{stream} is sealed, and takes no messages any more", how_to_refill(stream))
        if report.created == self._cut_off:
            stream = self._names.events
            raise DivergedError(f"{stream} lacked its last messages at the start", how_to_refill(stream))
        try:
            standing, head, next_row = await self._compare(report)
        except ForeignMessageError as error:
            # If the foreign message is deleted, only this shows that the sequences behind it are off by one.
            await self._configure(report, {FOREIGN_SEQUENCE: str(error.sequence)})
            raise
        metadata = metadata_of(self._origin.store_id, standing.segments)
        of, began = self._began
        if report.created == of and began > 1:
            metadata[BEGINS_AT] = str(began)
        report = await self._configure(report, metadata)
        self.is_replicated = report.is_replicated
        return standing, head, next_row

    async def delete(self) -> None:
        """Deletes the stream; the next call of `stand` makes it again, to be filled from the log."""
        await self._api.delete(self._names.events)

    async def _found_or_made(self) -> StreamReport:
        stream = self._names.events
        report = await self._api.report(stream)
        if report is not None:
            self._serving = {key: said for key, said in report.metadata.items() if key == INCARNATION}
            return report
        report = await self._made()
        if report.state.last_seq == 0 or report.state.consumer_count:
            return report
        # The stream was unknown a moment ago, and has messages. nats-server does not sync the description of
        # a stream: after a power cut it may be lost while the messages are there. Or they belong to a stream
        # that was deleted a moment ago. All of them are in the log.
        logger.warning("%s had messages when it was made, and is filled anew", stream)
        await self._api.delete(stream)
        return await self._made()

    async def _made(self) -> StreamReport:
        return await within_room(
            self._api,
            self._api.create,
            {
                "name": self._names.events,
                **self._needed(),
                "storage": "file",
                "duplicate_window": DUPLICATE_WINDOW_NS,
                "metadata": metadata_of(self._origin.store_id, ()) | self._serving,
            },
        )

    async def _loss(self, report: StreamReport) -> Loss | None:
        """The kind of messages that the stream lacks; `None` if it has all that its limits allow."""
        stream, counts = self._names.events, report.state
        ends = {counts.first_seq, counts.last_seq} if counts.messages else set()
        unread = [one for one in ends if await self._api.message_at(stream, one) is None]
        # nats-server notices missing messages only when it reads them, so the report is asked for again. The
        # oldest ones may also have been removed by a limit meanwhile.
        report = await self._api.report(stream) or report
        first = first_there(report.state)
        unread = [one for one in unread if one >= first]
        if counts.last_seq in unread:
            return Loss.END
        segments = recorded_segments(stream, self._origin.store_id, report.metadata, report.state.last_seq)
        lost = await asyncio.to_thread(self._lost_at_beginning, report, segments)
        # Each message has a subject. If there are more subjects than messages, some could not be read.
        lost = lost or max(report.state.num_subjects - report.state.messages, len(unread))
        self._lost = (report.created, lost)
        if lost or lost_between(report):
            return Loss.OTHERS
        self._began = (report.created, first)
        return None

    def _lost_at_beginning(self, report: StreamReport, segments: Sequence[Segment]) -> int:
        with self._read() as connection:
            return lost_at_beginning(connection, report, segments, time.time_ns() // 1_000_000)

    async def _compare(self, report: StreamReport) -> tuple[StreamStanding, chain.Head, chain.Row | None]:
        stream, counts = self._names.events, report.state
        recorded = recorded_segments(stream, self._origin.store_id, report.metadata, counts.last_seq)
        last = await self._last_event(report)
        with _told_of_damage():
            head = await asyncio.to_thread(self._read_head)
        standing = locate(
            stream,
            self._origin,
            head.position,
            last_sequence=counts.last_seq,
            segments=recorded,
            last=last,
        )
        common = await self._common_event(standing, last)
        position = common.position if common else 0
        with _told_of_damage():
            before, row, next_row = await asyncio.to_thread(
                self._read_rows, position - 1, position, standing.next_position
            )
            if common is not None:
                _require_same(stream, common, before, row)
        return standing, head, next_row

    async def _last_event(self, report: StreamReport) -> PublishedEvent | None:
        """The last event that the stream still has."""
        counts = report.state
        if counts.messages == 0:
            return None
        stream = self._names.events
        # First by its sequence: asked for by subject, a message that does not belong here would be missed.
        message = await self._api.message_at(stream, counts.last_seq)
        message = message or await self._api.last_message(stream, self._names.events_of())
        return None if message is None else published_event(self._names, self._origin.store_id, message)

    async def _common_event(
        self, standing: StreamStanding, last: PublishedEvent | None
    ) -> PublishedEvent | None:
        """The last event that both the stream and the log have: its hashes must agree."""
        if standing.shared is None:
            return None
        sequence, position = standing.shared
        if last is not None and last.sequence == sequence:
            return last
        message = await self._api.message_at(self._names.events, sequence)
        if message is not None:
            return published_event(self._names, self._origin.store_id, message)
        # That message is gone. The last one may be before it, unless it is of a history that was given up.
        if last is not None and last.position <= position:
            is_shared = self._origin.timeline_at(last.position) == last.timeline
            return last if is_shared else None
        return None

    def _read_head(self) -> chain.Head:
        with self._read() as connection:
            return chain.read_head(connection)

    def _read_rows(self, *positions: int) -> list[chain.Row | None]:
        with self._read() as connection:
            return [chain.read_at(connection, position) for position in positions]

    def _needed(self) -> dict[str, Any]:
        """The settings that the stream must have. Others, such as replicas, are the operator's choice."""
        subjects = self._names.events_of()
        return {
            "subjects": [subjects],
            "retention": "limits",
            "republish": {"src": subjects, "dest": self._names.live_events},
            "allow_direct": True,
            "no_ack": False,
            "max_msg_size": -1,
            # A limit removes the oldest messages; the log keeps them.
            **self._limits.config,
        }

    async def _configure(self, report: StreamReport, metadata: dict[str, str]) -> StreamReport:
        metadata = {**report.metadata, **metadata}
        wanted = {**limited(report.config, self._needed()), "metadata": metadata}
        for name in _OTHER_SOURCES:
            wanted.pop(name, None)
        if said(wanted) == said(report.config):
            return report
        try:
            return await within_room(self._api, self._api.update, wanted)
        except JetStreamError as error:
            if error.code in (0, STORAGE_EXCEEDED, NO_STREAM):
                # JetStream did not answer or has no room, or the stream was deleted since the report.
                raise
            stream = self._names.events
            raise StreamError(
                f"{stream} does not take the settings that it needs: {error.problem}", how_to_refill(stream)
            ) from error


@contextmanager
def _told_of_damage() -> Iterator[None]:
    """Turns the errors that a column of the log with a wrong type leads to into a `DivergedError`."""
    try:
        yield
    except (UnicodeDecodeError, TypeError, AttributeError) as error:
        raise DivergedError(f"the log has an event that cannot be read: {error}", _DAMAGED) from error


def _require_same(
    stream: str, common: PublishedEvent, before: chain.Row | None, row: chain.Row | None
) -> None:
    if row is not None and row.hash.hex() == common.hash:
        return
    event = f"event {common.timeline}-{common.position}"
    if row is None or not chain.follows(before, row):
        raise DivergedError(
            f"the log was changed after it was written: {event} in {stream} is as it was", _DAMAGED
        )
    raise OtherHistoryError(
        f"{event} in {stream} is not the log's: their hashes differ",
        "another service has served a copy of this store, or a file from before was put in its place: keep"
        f" the log that is to go on, and stop the other one; if it is this one, {how_to_refill(stream)}",
    )
