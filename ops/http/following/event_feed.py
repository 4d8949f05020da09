"""The log as a stream of server-sent events: `EventFeed`, shared by all followers.

SQLite makes the frames, in threads of the feed and without Python's global lock. Followers are told of new
events several times a second, not after each commit: so all of them stop at the same positions, and each
piece between two positions is made once for all.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import apsw
import msgspec

from bus.log import chain
from bus.log.cloud_events import Origin, cloud_event_sql, event_id_sql
from bus.log.reader_pool import PoolClosedError, PoolExhaustedError
from domain.catalogue import TIMELINE_STREAM
from domain.errors import Invalid

# The size of one piece: at most this many positions, or this many bytes of `data`.
MAXIMUM_POSITIONS = 500
MAXIMUM_BYTES = 256 * 1024
# How many pieces are kept for followers that ask for the same ones a moment later.
MAXIMUM_KEPT = 64
# The time between two notices of new events. Live events arrive some tens of milliseconds old, and under load
# a piece holds many of them.
PACE_SECONDS = 0.05
THREADS = 2

# A line end would end the `data` field. JSON has line ends only between its tokens, where spaces can replace
# them.
_FRAMES = """
    SELECT CAST(group_concat(frame, '') AS BLOB), count(frame)
    FROM (
        SELECT iif(
            :streams = '*' OR stream GLOB :streams OR stream = '{forks}',
            'id: ' || {event_id} || char(10) || 'data: '
                || replace(replace({event}, char(10), ' '), char(13), ' ') || char(10, 10),
            NULL
        ) AS frame
        FROM events WHERE position > :after AND position <= :last ORDER BY position LIMIT :last - :after
    )
"""


class Piece(msgspec.Struct, frozen=True):
    """The events up to position `last`, as frames, and how many there are."""

    last: int
    frames: bytes
    count: int


class Source:
    """A count that grows until it is closed, and that tasks wait for. Used from the event loop's thread."""

    def __init__(self, reached: int) -> None:
        self.reached = reached
        """The count so far; the subclass says what it counts."""
        self.is_closed = False
        self._news = asyncio.Event()

    async def beyond(self, reached: int, seconds: float) -> bool:
        """Waits until `reached` is greater, or the source is closed; false if the time is over first."""
        try:
            async with asyncio.timeout(seconds):
                while self.reached <= reached and not self.is_closed:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        """Wakes all waiting tasks."""
        news, self._news = self._news, asyncio.Event()
        news.set()


class EventFeed(Source):
    """The log of one service for its followers; `reached` is the last position that they were told of."""

    def __init__(
        self, reader: Callable[[], AbstractContextManager[apsw.Connection]], origin: Origin, head: int
    ) -> None:
        super().__init__(head)
        self._reader = reader
        self._origin = origin
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="event feed")
        self._kept: OrderedDict[tuple[int, str], asyncio.Future[Piece | None]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._told_at = -PACE_SECONDS
        self._telling: asyncio.TimerHandle | None = None
        self.head = head
        """The last position of the log."""

    def notify(self, head: int) -> None:
        """Takes the new head of the log, and tells followers at once or when the pace allows."""
        self.head = head
        if self._telling is None:
            # At once, if the last notice is old enough.
            wait = self._told_at + PACE_SECONDS - self._loop.time()
            self._telling = self._loop.call_later(max(0.0, wait), self._tell)

    def close(self) -> None:
        """Ends the feed for all followers."""
        self.is_closed = True
        if self._telling is not None:
            self._telling.cancel()
        self._wake()
        self._threads.shutdown(wait=False)

    async def after(self, position: int, streams: str) -> Piece | None:
        """The next piece after a position: events of the streams that match a GLOB, and forks of the log.

        `None` at the end of the log, and if the log cannot be read at the moment.
        """
        piece = self._kept.get((position, streams))
        if piece is None:
            piece = self._loop.run_in_executor(self._threads, self._read, position, self.reached, streams)
            self._kept[position, streams] = piece
            if len(self._kept) > MAXIMUM_KEPT:
                self._kept.popitem(last=False)
        try:
            # Shielded: if one follower is cancelled, others still wait for the same piece.
            read = await asyncio.shield(piece)
        except (PoolClosedError, PoolExhaustedError):
            self._kept.pop((position, streams), None)
            return None
        except Exception:
            self._kept.pop((position, streams), None)
            raise
        if read is None:
            self._kept.pop((position, streams), None)
        return read

    def place_of(self, event_id: str) -> int:
        """The position after which a follower goes on who names the last event seen, or a position alone.

        If the log forked before that event, it is the position before the fork, so that the fork's event
        comes next.

        Raises:
            Invalid: the text is no such id, or the log does not go that far.
        """
        timeline_text, separator, position_text = event_id.rpartition("-")
        if not _is_number(position_text) or (separator and not _is_number(timeline_text)):
            raise Invalid("it is the id of an event, as 1-41872, or a position", path="Last-Event-ID")
        position = int(position_text)
        if separator:
            timelines = self._origin.timelines
            newer = [first for timeline, first in timelines if timeline > int(timeline_text)]
            if int(timeline_text) > timelines[-1][0]:
                raise _ahead(event_id)
            if newer:
                position = min(position, min(newer) - 1)
        if position > self.head:
            raise _ahead(event_id)
        return position

    def event_id(self, position: int) -> str:
        """The id of the event at a position."""
        return self._origin.event_id(position)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = self._loop.time()
        self.reached = self.head
        self._wake()

    def _read(self, after: int, told: int, streams: str) -> Piece | None:
        most = min(MAXIMUM_POSITIONS, told - after)
        if most <= 0:
            return None
        with self._reader() as connection:
            last = chain.end_of_next(connection, after, most=most, most_bytes=MAXIMUM_BYTES)
            if last is None:
                return None
            # Made anew each time: the leader of a cluster may have begun a timeline meanwhile.
            select = _FRAMES.format(
                forks=TIMELINE_STREAM,
                event_id=event_id_sql(self._origin),
                event=cloud_event_sql(self._origin),
            )
            frames, count = connection.execute(
                select, {"after": after, "last": last, "streams": streams}
            ).fetchone()  # type: ignore[misc]
            return Piece(last, frames or b"", count)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _ahead(event_id: str) -> Invalid:
    return Invalid(
        f"the log does not go as far as {event_id}",
        hint="it is another log, or one that was restored by hand; begin anew",
        path="Last-Event-ID",
    )
