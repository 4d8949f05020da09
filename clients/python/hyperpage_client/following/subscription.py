"""Follows the events of the log: each once, in order, from any position on, whatever happens to the broker.

                      ┌── begin: newer timeline? where does the stream stand? ◀──┐
                      ▼                                                          │ gap, lost feed,
    read the log, up to where the feed begins ──▶ follow the feed ───────────────┘ newer timeline
                      ▲                                │ nothing came for 5 s
                      └────────────────────────────────┘

The log is the truth, and the feed only makes it live: any doubt about the feed is settled by reading the log
behind the last event. So a broker that is gone, wiped or behind costs time, and no event.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Self

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.asking.seen import Seen
from hyperpage_client.contract.headers import MINIMUM_POSITION
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.contract.subjects import TIMELINE_FORKED, TIMELINE_STREAM, BusNames
from hyperpage_client.errors import Behind
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.following.live_feed import LiveFeed
from hyperpage_client.following.remote_log import LogEnd, RemoteLog
from hyperpage_client.following.stream_report import FeedLostError
from hyperpage_client.tasks import cancel

# The pauses between attempts to open a feed. The log is read each time.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
# Beyond every position: the log is read to its end.
_TO_THE_END = 2**62
# The name of a table, without wildcards, which would change the filter.
_TABLE = re.compile("[A-Za-z0-9_-]+")

logger = logging.getLogger(__name__)


class PlaceLostError(RuntimeError):
    """The place to go on from is not in the log: it is another store's, or lies ahead of this one's end."""


class Subscription:
    """An iterator over events, used by one task. It holds a page of them (at most 1,000) in memory.

    When a loop over it is left, the broker is told to drop the consumer; a new loop goes on where that one
    ended. `seen` takes in the place of each event that is handed out.
    """

    def __init__(
        self,
        connection: ClientConnection,
        names: BusNames,
        *,
        position: int,
        timeline: int | None,
        table: str | None,
        stream: str | None,
        seen: Seen | None = None,
    ) -> None:
        self._connection = connection
        self._stream_name = names.events
        self._subjects = _subjects(names, table, stream)
        self._table = table
        self._stream = stream
        self._query = names.query("events.read")
        self._log = RemoteLog(self._ask)
        self._seen = seen or Seen()
        self._position = position
        self._timeline = timeline
        self._store_id: str | None = None
        self._ready: deque[ChangeEvent] = deque()
        # How often an event was asked for.
        self._asked = 0
        self._step: asyncio.Task[None] | None = None
        self._feed: LiveFeed | None = None
        self._troubles = 0
        # The position up to which the log is being read, and the fork that follows it.
        self._log_end = 0
        self._fork: ChangeEvent | None = None

    async def __aiter__(self) -> AsyncGenerator[ChangeEvent, None]:
        asked = self._asked
        try:
            while True:
                asked = self._asked + 1
                yield await anext(self)
        finally:
            # A loop that was left gets here only when its iterator is collected. If another caller has asked
            # for an event by then, the subscription is still in use.
            if self._asked == asked:
                await self.aclose()

    async def __anext__(self) -> ChangeEvent:
        """The next event; waits for it without a limit. Cancelling the wait loses nothing.

        Raises:
            PlaceLostError: the log is not the one that was followed.
            ClosedError: the client's connection is closed.
        """
        self._asked += 1
        while not self._ready:
            # A task of its own, which goes on when the wait is cancelled: the next call waits for the same
            # task. So a caller that never waits for long makes progress, too.
            if self._step is None:
                self._step = asyncio.create_task(self._advance())
            step = self._step
            try:
                await asyncio.shield(step)
            finally:
                # Its error is raised once; the next call tries again.
                if step.done():
                    self._step = None
        event = self._ready.popleft()
        self._seen.note(LogPlace(event.timeline, event.position))
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the subscription, and tells the broker."""
        step, self._step = self._step, None
        if step is not None:
            await cancel(step)
        await self._drop_feed()

    async def _ask(self, body: bytes) -> bytes:
        """The answer of a store that has all that was followed so far; of any store, if there is none."""
        if self._timeline is not None:
            seen = {MINIMUM_POSITION: str(LogPlace(self._timeline, self._position))}
            with suppress(Behind):
                return await self._connection.ask_patiently(self._query, body, seen)
        return await self._connection.ask_patiently(self._query, body)

    async def _advance(self) -> None:
        if self._log_end > self._position or self._fork is not None:
            await self._read_log()
        elif self._feed is None:
            await self._begin()
        else:
            await self._follow(self._feed)

    async def _begin(self) -> None:
        """Finds out how far to read the log: up to a fork, or up to the beginning of a new feed."""
        if self._troubles > 1:
            # A single failure may be a lost connection. Repeated ones need a repair, so there is a pause.
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._troubles - 2, 10)
            await asyncio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        end = await self._log.end()
        timeline = self._place(end)
        if end is not None and end.timeline > timeline:
            self._fork = await self._log.event_at(end.first_newer(timeline))
            if self._fork is None:
                # Between the two queries, a restore has taken the fork out of the log.
                return
            self._log_end = self._fork.position - 1
            # The restore has undone the events that were seen from the fork's position on.
            self._position = min(self._position, self._log_end)
            return
        try:
            self._feed = await LiveFeed.open(
                self._connection,
                self._stream_name,
                self._subjects,
                store_id=self._store_id,
                timeline=timeline,
                position=self._position,
            )
        except FeedLostError as error:
            await self._start_over(str(error))
            self._log_end = _TO_THE_END
            return
        if self._feed.behind is None:
            self._log_end = _TO_THE_END
        else:
            # After trouble, at least one page is read, so that each turn makes progress, even if the stream's
            # metadata is wrong.
            self._log_end = max(self._feed.behind, self._position + (1 if self._troubles else 0))

    def _place(self, end: LogEnd | None) -> int:
        """The timeline of the place to go on from.

        Raises:
            PlaceLostError: the log with this `end` does not have that place.
        """
        if end is not None and self._store_id is None:
            self._store_id = end.store_id
        if end is not None and end.store_id != self._store_id:
            raise PlaceLostError(f"the log is that of store {end.store_id}, not of {self._store_id}")
        head = 0 if end is None else end.position
        if self._timeline is None:
            if self._position > head:
                raise PlaceLostError(
                    f"there is no position {self._position} in the log; name the event that was seen, "
                    "to be told where a restore has forked it"
                )
            self._timeline = 1 if end is None else end.timeline_at(self._position)
        seen = (self._timeline, self._position)
        if seen > (self._timeline if end is None else end.timeline, head):
            raise PlaceLostError(f"event {self._timeline}-{self._position} was seen, and is ahead of the log")
        return self._timeline

    async def _read_log(self) -> None:
        """Takes a page of the log, and the fork that was found behind it."""
        assert self._timeline is not None
        if self._position < self._log_end:
            page = await self._log.page(self._position, table=self._table, stream=self._stream)
            items = [event for event in page.items if self._fork is None or event.position <= self._log_end]
            if page.head < self._position or any(event.timeline > self._timeline for event in items):
                await self._start_over("the log has been forked")
                return
            self._ready.extend(items)
            self._log_end = min(self._log_end, page.head)
            self._position = page.covered if self._fork is None else min(page.covered, self._log_end)
        if self._fork is not None and self._position >= self._log_end:
            fork, self._fork = self._fork, None
            # If the fork does not follow, there was another restore meanwhile, to an earlier moment.
            if fork.position == self._position + 1:
                self._ready.append(fork)
                self._position, self._timeline = fork.position, fork.timeline
            self._log_end = self._position

    async def _follow(self, feed: LiveFeed) -> None:
        """Takes the events that have come, up to the first that does not follow the one before it."""
        assert self._timeline is not None
        try:
            events = await feed.take()
        except FeedLostError as error:
            await self._start_over(str(error))
            return
        if not events:
            # Either there are no new events, or the relay does not publish them: reading the log tells.
            self._log_end = _TO_THE_END
            return
        for event in events:
            if event.store_id != self._store_id or event.timeline > self._timeline:
                await self._start_over(f"{event.id} of store {event.store_id} is another log's")
                return
            if event.timeline < self._timeline or event.position <= self._position:
                continue
            if not self._subjects and event.position > self._position + 1:
                await self._start_over(f"{event.id} does not follow position {self._position}")
                return
            self._ready.append(event)
            self._position = event.position
            self._troubles = 0

    async def _start_over(self, why: str) -> None:
        logger.info("following %s: %s; looking at the log", self._stream_name, why)
        self._troubles += 1
        self._fork = None
        self._log_end = self._position
        await self._drop_feed()

    async def _drop_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.close()


def _subjects(names: BusNames, table: str | None, stream: str | None) -> tuple[str, ...]:
    """The subjects that the feed is filtered by; forks pass every filter. If empty, nothing is filtered.

    Raises:
        ValueError: a name is not that of a table or of a stream, or both are given.
    """
    if table is not None and stream is not None:
        raise ValueError("either a table or a stream can be followed")
    if table is None and stream is None:
        return ()
    followed, _, key = (stream or f"{table}/-").partition("/")
    if not _TABLE.fullmatch(followed) or not key:
        raise ValueError(f"{stream or table!r} names no {'table' if stream is None else 'stream'}")
    wanted = names.events_of(table) if stream is None else names.changes_of(stream)
    # The broker refuses two filters of which one covers the other.
    has_forks = TIMELINE_STREAM in {stream, f"{table}/timeline"}
    return (wanted,) if has_forks else (wanted, names.event(TIMELINE_STREAM, TIMELINE_FORKED))
