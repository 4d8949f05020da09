"""`Trailing`: the leader's side of a log that trails, which gets each group soon after that was answered.

    COMMIT ──▶ answers ──▶ notify ──▶ what the log lacks, out of the file ──▶ stored ──▶ and so on
                                                                                └── lag: what is not stored

No command waits for the log, and nothing is kept in memory for it. If a leader is lost, the others lose what
it answered and did not send. So the frames of such a term say that they trail, and the leader that comes
after such a frame begins a timeline (`bus.replication.terms`). Only the last frame, sent once all is sent and
no more commands are decided, does not trail.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import apsw
import msgspec

from bus.log.answers import UNREADABLE
from bus.log.chain import BrokenChainError
from bus.log.reader_pool import PoolExhaustedError
from bus.log.snapshot import end_snapshot
from bus.replication.frame import Frame, frame_of
from bus.replication.putting_back import Lacking
from bus.replication.replicating import Replicator
from bus.writing.content import Content
from bus.writing.submission import Commit
from domain.errors import Unavailable
from hyperpage_client.tasks import to_its_end
from hyperpage_client.waiting import Trouble, is_set_within

# The shortest time from one frame to the next. A frame has all that was committed by then, so many groups
# cost the nats-servers and the followers little more than one.
PACE_SECONDS = 0.02
FIRST_RETRY_MS = 50
LONGEST_RETRY_MS = 1_000

logger = logging.getLogger(__name__)


class TrailState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a log that trails is. The oldest event that it lacks has waited for `lag_seconds`."""

    position: int
    lag_events: int
    lag_seconds: float
    problem: str | None


class Trailing:
    """The log of one term, which trails the leader's file. All but `state` is called in one event loop.

    `read` lends connections to the file, in other threads; `lacking` knows what the log has of it by now.
    """

    def __init__(
        self,
        replicator: Replicator,
        lacking: Lacking,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
    ) -> None:
        self.replicator = replicator
        self._lacking = lacking
        self._read = read
        self._head = self._position = lacking.before.position
        self._waiting_since: float | None = None
        # The jobs whose leases changed since the last frame.
        self._changed_leases: set[str] = set()
        self._news, self._has_ended = asyncio.Event(), asyncio.Event()
        self._is_to_end = self._is_through = False
        # While it is open, the leader decides commands.
        self.is_open = True
        self._trouble = Trouble(
            "sending to the log", logger, first_pause_ms=FIRST_RETRY_MS, longest_pause_ms=LONGEST_RETRY_MS
        )
        self._trouble.recovered()

    @property
    def state(self) -> TrailState:
        """How far the log is now. Any thread may ask."""
        since = self._waiting_since
        return TrailState(
            position=self._position,
            lag_events=max(0, self._head - self._position),
            lag_seconds=0.0 if since is None else time.monotonic() - since,
            problem=self._trouble.problem,
        )

    def notify(self, commit: Commit) -> None:
        """Notes what was committed."""
        # The log may have it already.
        if commit.rows and commit.rows[-1].position > self._position:
            self._head = commit.rows[-1].position
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
        self._changed_leases.update(commit.leases)
        self._news.set()

    async def run(self) -> None:
        """Sends until the log has the last frame, or this member leads no more. What fails is tried again."""
        try:
            while self.replicator.ended is None and not self._is_through:
                self._news.clear()
                try:
                    await self._go_on()
                except (*UNREADABLE, BrokenChainError, PoolExhaustedError) as error:
                    self._trouble.failed(error)
                    await asyncio.sleep(self._trouble.next_pause_ms() / 1_000)
        finally:
            self._has_ended.set()

    async def finish(self, seconds: float) -> bool:
        """Whether the log gets everything, with the last frame, in that time; nothing more may be committed.

        Then the next leader begins no timeline.
        """
        self._is_to_end = True
        self._news.set()
        await is_set_within(self._has_ended, seconds * 1_000)
        return self._is_through

    async def _go_on(self) -> None:
        """Sends the next frame. If there is none: the last frame, if this is to end, or it waits for more."""
        is_to_end, began = self._is_to_end, time.monotonic()
        changed, self._changed_leases = self._changed_leases, set()
        try:
            # The last commit may not have been announced yet: at the end, all leases are compared.
            frame = await to_its_end(partial(self._next, None if is_to_end else changed))
        except BaseException:
            self._changed_leases |= changed
            raise
        if frame is not None:
            await self._store(frame)
            self._note_sent(frame.last, began)
            await asyncio.sleep(max(0.0, began + PACE_SECONDS - time.monotonic()))
        elif is_to_end:
            await self._store(self._last())
            self._is_through = self.replicator.ended is None
        else:
            await self._news.wait()

    def _next(self, leases_of: set[str] | None) -> Frame | None:
        with self._read() as connection:
            # A snapshot, whatever is committed meanwhile.
            connection.execute("BEGIN")
            try:
                return self._lacking.next(connection, leases_of)
            finally:
                end_snapshot(connection)

    async def _store(self, frame: Frame) -> None:
        """Returns when the log has a frame, or this member leads no more."""
        while self.replicator.ended is None:
            try:
                await self.replicator.store_frame(frame)
                self._trouble.recovered()
                return
            except Unavailable as error:
                # The log has no room.
                self._trouble.failed(error)
                await asyncio.sleep(self._trouble.next_pause_ms() / 1_000)

    def _note_sent(self, position: int, read_at: float) -> None:
        if self.replicator.ended is None:
            self._position = position
            self._head = max(self._head, position)
            # Events that are left were committed after the reading, and have waited at most since then.
            self._waiting_since = None if self._head == position else read_at

    def _last(self) -> Frame:
        """The last frame, which is empty and does not trail."""
        term = self.replicator.term
        content = Content(before=self._lacking.before)
        return frame_of(content, store_id=term.store_id, timeline=term.timeline, term=term.number)
