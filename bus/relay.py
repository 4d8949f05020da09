"""The relay: every event of the log into the stream, exactly once, in order.

    look ──▶ publish what is missing ──▶ caught up ──▶ wait for a commit
     ▲               │ anything odd          │ nothing for a second
     └───────────────┴───────────────────────┘

It keeps no cursor: the stream says where it stands (`bus.stream_state`), and takes each message only right
behind the one before it (`bus.publisher`). So whatever went wrong, looking again is the way on: a message
that was stored without our knowing is found there, and one that arrives late is refused.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import apsw
import msgspec

from bus import log
from bus.cloud_events import Origin, cloud_event
from bus.connection import LeanClient
from bus.event_stream import EventStream
from bus.jetstream import JetStreamApi, JetStreamError, WrongSequenceError
from bus.log_tail import LogTail
from bus.publisher import Publisher
from bus.stream_state import DivergedError, StreamError
from bus.subjects import BusNames
from bus.waiting import Trouble, is_set_within

# At the largest events, 256 KiB, the rows of one read weigh 32 MiB.
CHUNK_ROWS = 128
# Deleting a stream notifies nobody: with nothing to publish, it is looked at so often.
LOOK_INTERVAL_MS = 1_000
# Well within the 5 s after a restart, and no burden while something is wrong for long.
FIRST_RETRY_MS = 50
LONGEST_RETRY_MS = 1_000
PREPARE_TIMEOUT_MS = 10_000

logger = logging.getLogger(__name__)


class RelayState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the relay is.

    `position` is that of the last event known to be in the stream, None until the stream was asked, `head`
    the log's. `problem` says why nothing is published now, `repair` what an operator can do, where there
    is anything. `oldest_unpublished_at` is the time (in milliseconds) of the first event still to come.
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
        """How many events are still to be published."""
        return max(self.head - (self.position or 0), 0)


class Relay:
    """Publishes one store's events. All but `state` is called on the event loop's thread.

    `connection` is the relay user's, and comes back for ever; `read` lends connections to the store, and is
    called in other threads.
    """

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        origin: Origin,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
    ) -> None:
        self._names = names
        self._origin = origin
        self._read = read
        self._stream = EventStream(JetStreamApi(connection), names, origin, read)
        self._publisher = Publisher(connection, names.events, on_stored=self._on_stored)
        self._tail = LogTail()
        self._position: int | None = None
        # What the stream's sequences are ahead of the log's positions, since it was looked at.
        self._offset = 0
        # What is being published, and when the first event was recorded that is not yet.
        self._chunk: Sequence[log.Row] = ()
        self._oldest_at: int | None = None
        self._trouble = Trouble(
            f"publishing to {names.events}",
            logger,
            first_pause_ms=FIRST_RETRY_MS,
            longest_pause_ms=LONGEST_RETRY_MS,
        )
        self._stopped = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def state(self) -> RelayState:
        """How far the relay is, now. Any thread may ask."""
        return RelayState(
            position=self._position,
            head=self._tail.head,
            problem=self._trouble.problem,
            repair=self._trouble.repair,
            oldest_unpublished_at=self._oldest_at if self._is_behind() else None,
        )

    async def prepare(self) -> None:
        """Returns when the stream is there and not another store's; called before anything is served.

        A stream that cannot be published to for another reason is no obstacle: `state` will tell.

        Raises:
            AnotherStoreError: it belongs to another store.
            JetStreamError: JetStream refused, or did not answer, for 10 s.
        """
        deadline = time.monotonic() + PREPARE_TIMEOUT_MS / 1000
        while True:
            try:
                return await self._stream.require_not_anothers()
            except JetStreamError:
                if time.monotonic() > deadline:
                    raise
            await is_set_within(self._stopped, LONGEST_RETRY_MS)

    def notify(self, rows: Sequence[log.Row]) -> None:
        """Says that these rows, which follow those said before, are committed."""
        self._tail.extend(rows)
        self._note_oldest()
        self._publisher.nudge()

    async def run(self) -> None:
        """Publishes until `stop`. What goes wrong stands in `state`, and is tried again."""
        await self._publisher.open()
        try:
            while not self._stopped.is_set():
                try:
                    await self._publish()
                except (StreamError, JetStreamError, apsw.Error, TimeoutError) as error:
                    # After a broker was killed, say, a wrong sequence is settled by looking again.
                    if not (isinstance(error, WrongSequenceError) and self._trouble.is_first):
                        self._trouble.meet(error)
                    await is_set_within(self._stopped, self._trouble.next_pause_ms())
        finally:
            await self._publisher.close()

    def stop(self) -> None:
        """Ends `run` soon; what is not published by then will be after the next start."""
        self._stopped.set()
        self._publisher.nudge()

    async def drain(self, timeout_ms: int) -> bool:
        """Whether all that was committed was in the stream within that time, or is by the end of it."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._is_behind():
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
        """Looks where the stream stands, and publishes until nothing was committed for a second."""
        place, head, next_row = await self._stream.stand()
        position = place.next_position - 1
        self._offset = place.last_sequence - position
        self._position = position
        self._chunk = () if next_row is None else (next_row,)
        self._tail.reach(head.position)
        self._tail.forget(position)
        self._note_oldest()
        self._publisher.begin(place.last_sequence)
        while not self._stopped.is_set():
            rows = await self._rows_after(position)
            if rows:
                await self._send(rows)
                position = rows[-1].position
            elif self._publisher.in_flight:
                await self._publisher.pause(LOOK_INTERVAL_MS)
            else:
                self._well()
                if not await self._publisher.pause(LOOK_INTERVAL_MS):
                    return

    async def _rows_after(self, position: int) -> list[log.Row]:
        rows = self._tail.after(position, CHUNK_ROWS)
        if rows is not None:
            return rows
        rows = await asyncio.to_thread(self._read_after, position)
        # Nothing would be published under another position; this says it clearly.
        if not rows or rows[-1].position != position + len(rows):
            raise DivergedError(
                f"the log has no event at one of the positions after {position}",
                "positions have no gaps, so the file was damaged: restore a backup",
            )
        return rows

    def _read_after(self, position: int) -> list[log.Row]:
        with self._read() as connection:
            return log.read_after(connection, position, limit=CHUNK_ROWS)

    async def _send(self, rows: Sequence[log.Row]) -> None:
        self._chunk = rows
        self._note_oldest()
        await self._publisher.send(
            [
                (
                    self._names.event(row.stream, row.type),
                    cloud_event(self._origin, row),
                    {"Nats-Msg-Id": self._origin.event_id(row.position)},
                )
                for row in rows
            ]
        )

    def _on_stored(self, sequence: int) -> None:
        self._position = sequence - self._offset
        self._tail.forget(self._position)
        self._note_oldest()
        self._well()

    def _well(self) -> None:
        self._trouble.end()
        self._progress.set()

    def _is_behind(self) -> bool:
        return self._position is None or self._position < self._tail.head

    def _note_oldest(self) -> None:
        following = (self._position or 0) + 1
        index = following - self._chunk[0].position if self._chunk else 0
        rows = self._chunk[max(index, 0) :][:1] or self._tail.after(following - 1, 1)
        # Where it is not in memory, the last one known is near enough.
        if rows:
            self._oldest_at = rows[0].recorded_at
