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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import apsw
import msgspec
from nats.aio.client import Client

from bus import log
from bus.cloud_events import Origin, cloud_event
from bus.event_stream import EventStream
from bus.jetstream import JetStreamApi, JetStreamError
from bus.log_tail import LogTail
from bus.publisher import Publisher
from bus.stream_state import DivergedError, StreamError, how_to_refill
from bus.subjects import BusNames

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
        return self.head - (self.position or 0)


class Relay:
    """Publishes one store's events. Everything is called on the event loop's thread.

    `connection` is the relay user's, and comes back for ever; `read` lends connections to the store, and is
    called in other threads.
    """

    def __init__(
        self,
        connection: Client,
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
        self._offset = 0
        self._position: int | None = None
        # What is being published, from which the time of the oldest is read.
        self._chunk: Sequence[log.Row] = ()
        self._problem: str | None = "the stream has not been looked at yet"
        self._repair: str | None = None
        self._stopped = asyncio.Event()
        self._progress = asyncio.Event()

    @property
    def state(self) -> RelayState:
        """How far the relay is, now."""
        behind = self._position is None or self._position < self._tail.head
        return RelayState(
            position=self._position,
            head=self._tail.head,
            problem=self._problem,
            repair=self._repair,
            oldest_unpublished_at=self._oldest_unpublished_at() if behind else None,
        )

    async def prepare(self) -> None:
        """Returns when the stream is there and is this store's; call it before anything is served.

        Raises:
            AnotherStoreError: it belongs to another store.
            JetStreamError: JetStream refused, or did not answer, for 10 s.
        """
        async with asyncio.timeout(None) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + PREPARE_TIMEOUT_MS / 1000)
            ...

    def notify(self, rows: Sequence[log.Row]) -> None:
        """Says that these rows were committed; in the order of their positions."""
        self._tail.extend(rows)
        self._publisher.nudge()

    async def run(self) -> None:
        """Publishes until `stop`; what is wrong stands in `state`, and is tried again."""
        await self._publisher.open()
        retry_ms = FIRST_RETRY_MS
        try:
            while not self._stopped.is_set():
                try:
                    await self._publish()
                    retry_ms = FIRST_RETRY_MS
                except (StreamError, JetStreamError, apsw.Error, TimeoutError) as error:
                    self._report(error)
                    if self._made_progress():
                        retry_ms = FIRST_RETRY_MS
                    await self._rest(retry_ms)
                    retry_ms = min(retry_ms * 2, LONGEST_RETRY_MS)
        finally:
            await self._publisher.close()
