"""The stream of events as it is on the broker: made where it is missing, looked at, and marked as ours."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import apsw

from bus.contract.stream_metadata import FOREIGN_SEQUENCE, metadata_of
from bus.contract.subjects import BusNames
from bus.log import chain
from bus.log.cloud_events import Origin
from bus.publishing.stream_state import (
    DivergedError,
    ForeignMessageError,
    PublishedEvent,
    StreamStanding,
    how_to_refill,
    locate,
    published_event,
    recorded_segments,
)
from bus.transport.ensured_streams import within_room
from bus.transport.jetstream import JetStreamApi
from bus.transport.jetstream_answers import StreamReport
from bus.transport.stream_limits import NO_LIMITS, Limits

# How long the broker remembers each message id. Its default, two minutes, takes hundreds of megabytes of its
# memory at full speed. We need none of it: sequences ensure that each event is stored once.
DUPLICATE_WINDOW_NS = 1_000_000_000

logger = logging.getLogger(__name__)


class EventStream:
    """The stream of one store's events, within `limits`. `read` lends a connection to that store."""

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

    async def require_not_anothers(self) -> None:
        """Returns if the stream is not another store's; it is made where there is none.

        Raises:
            AnotherStoreError: it is another store's.
            JetStreamError: JetStream does not answer, or refuses.
        """
        report = await self._found_or_made()
        # `stand` tells of anything else that is wrong with it.
        with suppress(DivergedError):
            recorded_segments(
                self._names.events, self._origin.store_id, report.metadata, report.state.last_seq
            )

    async def stand(self) -> tuple[StreamStanding, chain.Head, chain.Row | None]:
        """Where the stream stands, the head of the log, and the row to be published next.

        The stream is made where there is none, and its metadata names every segment that publishing the log
        to its end will make.

        Raises:
            StreamError: it cannot be published to; `repair` says what to do.
            JetStreamError: JetStream does not answer, or refuses.
        """
        report = await self._found_or_made()
        try:
            return await self._compare(report)
        except ForeignMessageError as error:
            # If it is deleted, this alone tells that the sequences behind it are off by one.
            await self._configure(report, {FOREIGN_SEQUENCE: str(error.sequence)})
            raise

    async def delete(self) -> None:
        """Deletes the stream, which is made and filled anew when it is looked at the next time."""
        await self._api.delete(self._names.events)

    async def _found_or_made(self) -> StreamReport:
        stream = self._names.events
        report = await self._api.report(stream)
        if report is not None:
            return report
        report = await self._made()
        if report.state.last_seq == 0:
            return report
        # Nobody knew of it a moment ago. nats-server does not sync what describes a stream: after a power cut
        # that may be gone, and the messages are there. All of them are in the log, too.
        logger.warning("%s was not known after a power cut, and is filled anew", stream)
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
                "metadata": metadata_of(self._origin.store_id, ()),
            },
        )

    async def _compare(self, report: StreamReport) -> tuple[StreamStanding, chain.Head, chain.Row | None]:
        stream, counts = self._names.events, report.state
        recorded = recorded_segments(stream, self._origin.store_id, report.metadata, counts.last_seq)
        last = await self._last_event(report)
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
        rows = await asyncio.to_thread(
            self._read_rows, common.position if common else 0, standing.next_position
        )
        _require_same(stream, common, rows[0])
        await self._configure(report, metadata_of(self._origin.store_id, standing.segments))
        return standing, head, rows[1]

    async def _last_event(self, report: StreamReport) -> PublishedEvent | None:
        """The last event that is still there."""
        counts = report.state
        if counts.messages == 0:
            return None
        stream = self._names.events
        # Asked for by its sequence first: a subject would pass over a message that does not belong here.
        message = await self._api.message_at(stream, counts.last_seq)
        message = message or await self._api.last_message(stream, self._names.events_of())
        return None if message is None else published_event(self._names, self._origin.store_id, message)

    async def _common_event(
        self, standing: StreamStanding, last: PublishedEvent | None
    ) -> PublishedEvent | None:
        """The last event that the stream still has and the log has too: where their hashes must agree."""
        if standing.shared is None:
            return None
        sequence, position = standing.shared
        if last is not None and last.sequence == sequence:
            return last
        message = await self._api.message_at(self._names.events, sequence)
        if message is not None:
            return published_event(self._names, self._origin.store_id, message)
        # It is gone. The last one may stand before it, unless it is of a history that was given up.
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
        """The settings that the stream must have. Others are the operator's: limits, replicas and so on."""
        subjects = self._names.events_of()
        return {
            "subjects": [subjects],
            "retention": "limits",
            "republish": {"src": subjects, "dest": self._names.live_events},
            "allow_direct": True,
            # What is over a limit goes, the oldest first; the log keeps it.
            **self._limits.config,
        }

    async def _configure(self, report: StreamReport, metadata: dict[str, str]) -> None:
        wanted = {**report.config, **self._needed(), "metadata": {**report.metadata, **metadata}}
        if wanted != report.config:
            await within_room(self._api, self._api.update, wanted)


def _require_same(stream: str, common: PublishedEvent | None, row: chain.Row | None) -> None:
    if common is None or (row is not None and row.hash.hex() == common.hash):
        return
    raise DivergedError(
        f"event {common.timeline}-{common.position} in {stream} is not the log's: their hashes differ",
        f"find out which of them was changed; if the log is right, {how_to_refill(stream)}",
    )
