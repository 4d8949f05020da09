"""The newest events of the log, for live pages: `Tails`. If there are too many, the others are only counted.

One task reads for all watchers of the same streams, a few times a second, and each piece goes to all of them;
a slow watcher gets the newest piece when it is ready. Watchers get a piece at different moments and may skip
one, so a piece repeats the lines of those right before it: at a low rate, every watcher gets every line.
`seen` in each piece counts all events so far, also those not sent, so that a page can tell which are new to
it and how many it missed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain, islice

import apsw
import msgspec

from bus.log.reader_pool import PoolClosedError, PoolExhaustedError
from ops.http.following.event_feed import EventFeed, Source

# Five pieces a second look live.
PERIOD_SECONDS = 0.2
# How many events a piece holds, the newest; the others are only counted.
MAXIMUM_SHOWN = 20
# The golden ratio: the fractions of its multiples are spread evenly, for any number of them.
_GOLDEN = 0.618033988749895
QUIET_SECONDS = 60.0
# How many positions are searched at most: a watcher that was away for longer gets the newest events.
MOST_LOOKED_AT = 20_000
# How many pieces' lines one piece holds. A watcher gets a piece two periods late at most, and so may skip
# some.
PIECES_TOGETHER = 4

_NEWEST = """
    SELECT position, stream, version, type, recorded_at,
        iif(json_valid(metadata), metadata ->> '$.actor', NULL)
    FROM events WHERE position > :after AND position <= :last AND (:streams = '*' OR stream GLOB :streams)
    ORDER BY position DESC LIMIT :most
"""
_COUNT = "SELECT count(*) FROM events WHERE position > :after AND position <= :last AND stream GLOB :streams"

Reader = Callable[[], AbstractContextManager[apsw.Connection]]


class Line(msgspec.Struct, frozen=True):
    """One event, as a line of a page shows it."""

    position: int
    stream: str
    version: int
    type: str
    at: int
    actor: str | None


class Tails:
    """The tails of one service's log that have watchers. Used from the event loop's thread."""

    def __init__(self, feed: EventFeed, reader: Reader) -> None:
        self._feed = feed
        self._reader = reader
        self._tails: dict[str, Tail] = {}
        self._joined = 0

    def join(self, streams: str) -> "Tail":
        """The tail of the streams that match a GLOB, with one more watcher, which must call `leave` later."""
        tail = self._tails.get(streams)
        if tail is None or tail.is_closed:
            tail = self._tails[streams] = Tail(self._feed, self._reader, streams)
            tail.task = asyncio.create_task(tail.run(), name=f"the tail of {streams}")
        tail.watchers += 1
        return tail

    def delay_seconds(self) -> float:
        """How long after each piece a new watcher is to get it.

        Sending takes 0.2 ms for each watcher. If fifty got it in one moment, commands would wait for 9 ms.
        """
        self._joined += 1
        return PERIOD_SECONDS * (self._joined * _GOLDEN % 1.0)

    def leave(self, tail: "Tail") -> None:
        """Removes one watcher; the tail ends with the last one."""
        tail.watchers -= 1
        if tail.watchers == 0:
            tail.task.cancel()
            if self._tails.get(tail.streams) is tail:
                del self._tails[tail.streams]


class Tail(Source):
    """The newest events of some streams; `reached` is how many pieces there were."""

    task: asyncio.Task[None]

    def __init__(self, feed: EventFeed, reader: Reader, streams: str) -> None:
        super().__init__(0)
        self.position = feed.head
        """The position up to which `seen` counts."""
        self._feed = feed
        self._recent: deque[list[Line]] = deque(maxlen=PIECES_TOGETHER)
        self._reader = reader
        self.streams = streams
        self.watchers = 0
        self.frame = b""
        """The newest piece, as a server-sent event."""
        self.seen = 0
        """How many events there were since this tail began."""

    async def run(self) -> None:
        """Makes pieces until it is cancelled or the log is closed."""
        clock = asyncio.get_running_loop().time
        try:
            while not self._feed.is_closed:
                if not await self._feed.beyond(self.position, QUIET_SECONDS):
                    continue
                began, last = clock(), self._feed.head
                try:
                    lines, count = await asyncio.to_thread(self.read, self.position, last)
                except PoolExhaustedError:
                    lines, count, last = [], 0, self.position
                self.position = last
                if count:
                    self._tell(lines, count)
                await asyncio.sleep(max(0.0, PERIOD_SECONDS - (clock() - began)))
        except PoolClosedError:
            return
        finally:
            self.is_closed = True
            self._wake()

    def _tell(self, lines: list[Line], count: int) -> None:
        self.seen += count
        self.reached += 1
        self._recent.appendleft(lines)
        shown = list(islice(chain.from_iterable(self._recent), MAXIMUM_SHOWN))
        piece = msgspec.json.encode({"seen": self.seen, "lines": shown})
        self.frame = b"id: %d\nevent: piece\ndata: %b\n\n" % (self.position, piece)
        self._wake()

    def read(self, after: int, last: int) -> tuple[list[Line], int]:
        """The newest events after one position and up to another, and how many there are.

        Unless all streams are read, only events among the last `MOST_LOOKED_AT` positions are counted.
        """
        place = {"after": max(after, last - MOST_LOOKED_AT), "last": last, "streams": self.streams}
        with self._reader() as connection:
            lines = [Line(*row) for row in connection.execute(_NEWEST, {**place, "most": MAXIMUM_SHOWN})]
            if self.streams == "*":
                # Positions have no gaps, so their difference is the number of events.
                return lines, max(0, last - after)
            if len(lines) < MAXIMUM_SHOWN:
                return lines, len(lines)
            return lines, connection.execute(_COUNT, place).get
