"""`AwaitedChanges`: queries that wait for an event, such as the end of a job."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from bus.serving.queries.reading import Awaited, Reading
from bus.writing.waiting import shutting_down
from domain.errors import Busy
from hyperpage_client.waiting import is_set_within

# The most queries that wait. A waiting query holds no thread, only its request.
MAXIMUM_WAITING = 1_000
# One user may have this many queries waiting as long as there is any room; more only while half of it is
# free.
SHARE = 100


class Changed(Protocol):
    """A row of the log: an event of a stream."""

    @property
    def stream(self) -> str: ...

    @property
    def type(self) -> str: ...


class AwaitedChanges:
    """Queries that wait for events of a stream. They wait in one event loop; `tell` is called in any thread.

    A query begins to wait before it reads, so it misses no event: `tell` is called after the commit, and
    wakes all queries that wait by then.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # What wakes each waiting query, by the stream and the type of the events that it waits for.
        self._waiting: dict[tuple[str, str], dict[asyncio.Event, None]] = {}
        self._by_user: Counter[str | None] = Counter()
        self._is_closed = False
        self.waiting = 0
        """How many wait."""

    async def read_later(
        self, awaited: Awaited, query: Any, read: Callable[[], Awaitable[Reading]], user: str | None = None
    ) -> Reading:
        """The reading that shows what is awaited, or the last one when the time is over.

        Raises:
            Busy: too many queries wait, or too many of this user.
            Unavailable: the service ends.
            What `read` raises.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + awaited.timeout_ms(query) / 1_000
        stream = awaited.stream(query)
        with self._waiting_for([(stream, event) for event in awaited.events], user) as changed:
            while True:
                changed.clear()
                self._require_open()
                # Other events may have changed the answer meanwhile, so it is read once more at the end.
                is_late = clock() >= until
                reading = await read()
                if is_late or reading.refusal is not None or awaited.is_over(reading.body):
                    return reading
                await is_set_within(changed, (until - clock()) * 1_000)

    @contextmanager
    def _waiting_for(self, wanted: list[tuple[str, str]], user: str | None) -> Iterator[asyncio.Event]:
        """An `asyncio.Event` that each of the wanted events sets, and `close` too, while the block runs."""
        is_full = self.waiting >= MAXIMUM_WAITING
        if is_full or (self._by_user[user] >= SHARE and self.waiting >= MAXIMUM_WAITING // 2):
            raise Busy("too many queries wait for something", hint="try again", retry_after_ms=1_000)
        self._loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        for one in wanted:
            self._waiting.setdefault(one, {})[changed] = None
        self.waiting += 1
        self._by_user[user] += 1
        try:
            yield changed
        finally:
            self.waiting -= 1
            self._by_user[user] -= 1
            if not self._by_user[user]:
                del self._by_user[user]
            for one in wanted:
                del self._waiting[one][changed]
                if not self._waiting[one]:
                    del self._waiting[one]

    def tell(self, rows: Iterable[Changed]) -> None:
        """Takes in rows that were committed; from any thread."""
        if not self._waiting or self._loop is None:
            return
        if awaited := {here for row in rows if (here := (row.stream, row.type)) in self._waiting}:
            # If the loop is closed, no query waits any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, awaited)

    def close(self) -> None:
        """Ends all waits with a refusal, and refuses new ones."""
        self._is_closed = True
        self._wake(tuple(self._waiting))

    def _require_open(self) -> None:
        if self._is_closed:
            raise shutting_down()

    def _wake(self, awaited: Iterable[tuple[str, str]]) -> None:
        for one in awaited:
            for changed in self._waiting.get(one, ()):
                changed.set()
