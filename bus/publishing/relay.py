"""The relay: every event of the log into the stream, exactly once, in order.

    look ──▶ publish what is missing ──▶ caught up ──▶ wait for a commit
     ▲               │ anything odd          │ nothing for a second
     └───────────────┴───────────────────────┘

The relay keeps no cursor: the stream itself shows where it stands (`bus.publishing.stream_state`), and takes
each message only right behind the one before it (`bus.publishing.publisher`). So after any trouble, the relay
looks at the stream again: a message that was stored without an answer is found there, and one that arrives
late is refused.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import apsw
import msgspec

from bus.log import chain
from bus.log.cloud_events import Origin
from bus.publishing.event_messages import MAXIMUM_EVENTS, EventEncoder, EventMessages
from bus.publishing.event_stream import EventStream
from bus.publishing.publisher import Block, Publisher
from bus.publishing.stream_audit import StreamAudit
from bus.publishing.stream_state import DivergedError, OtherHistoryError, StreamError
from bus.transport.jetstream import JetStreamApi, JetStreamError, WrongSequenceError
from bus.transport.stream_limits import NO_LIMITS, Limits
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.waiting import Trouble, is_set_within

# The most unpublished commits that are kept with their times; further ones are merged into the last.
MAXIMUM_COMMITS = 1_000
# How often the stream is checked when there is nothing to publish; nothing tells us when it is deleted.
LOOK_INTERVAL_MS = 1_000
# Short enough to publish within 5 s after a restart, and no burden while a problem lasts.
FIRST_RETRY_MS = 50
LONGEST_RETRY_MS = 1_000
PREPARE_TIMEOUT_MS = 10_000

# A `UnicodeDecodeError` comes from a damaged log.
_HELD_UP_BY = (StreamError, JetStreamError, apsw.Error, TimeoutError, UnicodeDecodeError)

logger = logging.getLogger(__name__)


class RelayState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the relay is.

    `position` is that of the last event known to be in the stream, `None` until the stream was asked; `head`
    is the log's. `problem` says why nothing is published now, `repair` what an operator can do, if anything.
    `oldest_unpublished_at` is the time (in milliseconds) of the first event that is not published yet.
    """

    position: int | None
    head: int
    problem: str | None
    repair: str | None
    oldest_unpublished_at: int | None

    @property
    def healthy(self) -> bool:
        return self.problem is None

    @property
    def lag(self) -> int:
        """The number of events that are not published yet."""
        return max(self.head - (self.position or 0), 0)


class Relay:
    """Publishes one store's events. Everything but `state` is used on the event loop's thread.

    `connection` is that of the relay's user, and reconnects for ever; `read` provides connections to the
    store, and is called in other threads. `on_published` gets the position up to which the stream has the
    events. `audit` compares the stream with the log once its `run` is called; `audited` is the file for its
    place.
    """

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        origin: Origin,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
        *,
        limits: Limits = NO_LIMITS,
        on_published: Callable[[int], None] | None = None,
        audited: Path | None = None,
    ) -> None:
        self._read = read
        self._on_published = on_published
        api = JetStreamApi(connection)
        self._stream = EventStream(api, names, origin, read, limits)
        self.audit = StreamAudit(
            api,
            names,
            origin,
            read,
            is_published=lambda: self.state.healthy,
            lost_at_start=self._stream.lost_at_start,
            kept=audited,
        )
        self._publisher = Publisher(connection, names.events, on_stored=self._on_stored)
        self._encoder = EventEncoder(names, origin)
        self._head = 0
        self._position: int | None = None
        # How far the stream's sequences are ahead of the log's positions, as of the last look at the stream.
        self._offset = 0
        # The first position that is published after that look.
        self._first = 0
        # Whether the last block had no room for all events that waited by then.
        self._is_more_left = False
        # The commits that are not published yet, oldest first: last position, time.
        self._commits: deque[tuple[int, int]] = deque()
        self._trouble = Trouble(
            f"publishing to {names.events}",
            logger,
            first_pause_ms=FIRST_RETRY_MS,
            longest_pause_ms=LONGEST_RETRY_MS,
        )
        self._stopped = asyncio.Event()
        self._progress = asyncio.Event()
        self._other_history: OtherHistoryError | None = None
        self._has_parted = asyncio.Event()

    @property
    def state(self) -> RelayState:
        """How far the relay is now. Any thread may ask."""
        return RelayState(
            position=self._position,
            head=self._head,
            problem=self._trouble.problem,
            repair=self._trouble.repair,
            oldest_unpublished_at=self._oldest_at(),
        )

    @property
    def is_of_this_log(self) -> bool:
        """Whether the stream was not found to be another log's. Any thread may ask."""
        return self._other_history is None

    async def parted(self) -> None:
        """Waits until the stream is found to be another log's; never returns.

        Raises:
            OtherHistoryError: the stream is another log's.
        """
        await self._has_parted.wait()
        assert self._other_history is not None
        raise self._other_history

    async def prepare(self, *, may_delete: bool = False) -> bool:
        """Returns when the stream exists and is not another log's; called before anything is served.

        The answer says whether the log has events; it is also true if that is unknown. `may_delete` says that
        a stream that a power cut has damaged may be deleted and filled again, because no other program has
        consumers on it.

        If the stream cannot be published to for another reason, this returns all the same: `state` says why.

        Raises:
            AnotherStoreError: the stream belongs to another store.
            OtherHistoryError: the stream belongs to another log of this store.
            JetStreamError: JetStream refused, or did not answer, for 10 s.
        """
        deadline = time.monotonic() + PREPARE_TIMEOUT_MS / 1000
        while True:
            try:
                return await self._stream.require_own(may_delete=may_delete)
            except JetStreamError:
                if time.monotonic() > deadline:
                    raise
            await is_set_within(self._stopped, LONGEST_RETRY_MS)

    def notify(self, rows: Sequence[chain.Row]) -> None:
        """Notes that these rows, which follow the ones noted before, are committed."""
        if rows:
            self._note_committed(rows[-1].position, rows[-1].recorded_at)
            self._publisher.nudge()

    async def run(self) -> None:
        """Publishes until `stop`. A problem is shown in `state`, and publishing is tried again."""
        await self._publisher.open()
        try:
            while not self._stopped.is_set():
                try:
                    await self._publish()
                except _HELD_UP_BY as error:
                    if isinstance(error, OtherHistoryError):
                        self._other_history = error
                        self._has_parted.set()
                        self._progress.set()
                    # The next look corrects a wrong sequence, for instance after the broker was killed. So
                    # the first one is not reported.
                    if not (isinstance(error, WrongSequenceError) and self._trouble.is_first):
                        self._trouble.failed(error)
                    await is_set_within(self._stopped, self._trouble.next_pause_ms())
        finally:
            await self._publisher.close()

    def stop(self) -> None:
        """Ends `run` soon; events that are not published by then will be after the next start."""
        self._stopped.set()
        self._publisher.nudge()

    async def drain(self, timeout_ms: int) -> bool:
        """Waits until the stream has all committed events; false if it is another log's, or too late."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._is_behind():
                    if not self.is_of_this_log:
                        return False
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def refill(self) -> None:
        """Deletes the stream, so that it is filled again from position 1: the repair that always works.

        Raises:
            JetStreamError: JetStream refused, or did not answer.
        """
        await self._stream.delete()
        self._publisher.nudge()

    async def _publish(self) -> None:
        """Looks at the stream, and publishes until nothing was committed for a second."""
        standing, head, next_row = await self._stream.stand()
        position = standing.next_position - 1
        self._offset, self._first = standing.last_sequence - position, standing.next_position
        self._note_published(position)
        self._note_committed(head.position, head.recorded_at if next_row is None else next_row.recorded_at)
        self._drop_published()
        self._publisher.begin(standing.last_sequence, is_replicated=self._stream.is_replicated)
        while not self._stopped.is_set():
            if self._is_worth_sending(position):
                position = await self._send_after(position)
            elif self._publisher.in_flight:
                await self._publisher.pause(LOOK_INTERVAL_MS)
            else:
                self._note_healthy()
                if not await self._publisher.pause(LOOK_INTERVAL_MS):
                    return

    def _is_worth_sending(self, position: int) -> bool:
        # While an answer is awaited, only full blocks are sent, and the rest that follows a full block. Other
        # events wait for the answer and go out together, since a block costs as much as tens of events.
        waiting = self._head - position
        is_free = self._is_more_left or not self._publisher.in_flight
        return waiting >= MAXIMUM_EVENTS or (waiting > 0 and is_free)

    async def _send_after(self, position: int) -> int:
        """Sends the next events, and returns the position of the last one."""
        head = self._head
        messages = await asyncio.to_thread(self._read_after, position)
        # JetStream would refuse the next message anyway; this error says why.
        if messages is None or messages.last != position + messages.count:
            raise DivergedError(
                f"the log has no event at one of the positions after {position}",
                "positions have no gaps, so the file was damaged: restore a backup",
            )
        self._publisher.require_size(f"an event behind position {position}", messages.largest_bytes)
        await self._publisher.send_block(Block(messages.encoded, messages.count))
        self._is_more_left = messages.last < head
        return messages.last

    def _read_after(self, position: int) -> EventMessages | None:
        most = 1 if self._publisher.is_first else MAXIMUM_EVENTS
        with self._read() as connection:
            return self._encoder.read(
                connection,
                position,
                offset=self._offset,
                first=self._first,
                reply=self._publisher.reply,
                is_replicated=self._publisher.is_replicated,
                most=most,
            )

    def _on_stored(self, sequence: int) -> None:
        self._note_published(sequence - self._offset)
        self._drop_published()
        self._note_healthy()

    def _note_published(self, position: int) -> None:
        self._position = position
        if self._on_published is not None:
            self._on_published(position)

    def _note_healthy(self) -> None:
        self._trouble.recovered()
        self._progress.set()

    def _is_behind(self) -> bool:
        return self._position is None or self._position < self._head

    def _note_committed(self, position: int, recorded_at: int) -> None:
        """Notes the log's new head, and when the events behind the old one were committed."""
        if position <= self._head:
            return
        self._head = position
        if len(self._commits) == MAXIMUM_COMMITS:
            _, recorded_at = self._commits.pop()
        self._commits.append((position, recorded_at))

    def _drop_published(self) -> None:
        while self._commits and self._commits[0][0] <= (self._position or 0):
            self._commits.popleft()

    def _oldest_at(self) -> int | None:
        # A copy, because any thread may ask while commits are added and removed.
        commits = tuple(self._commits)
        return commits[0][1] if commits and self._is_behind() else None
