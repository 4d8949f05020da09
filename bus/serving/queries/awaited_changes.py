"""`AwaitedChanges`: queries that are to be answered once something has come about."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from bus.serving.queries.reading import Awaited, Reading
from bus.writing.waiting import shutting_down
from domain.errors import Busy
from hyperpage_client.waiting import is_set_within

# They hold no thread, only what was asked.
MAXIMUM_WAITING = 1_000
# So many of one user may always wait, as long as there is room at all; more only while half of it is free.
SHARE = 100


class Changed(Protocol):
    """A row of the log: something has happened to a stream."""

    @property
    def stream(self) -> str: ...

    @property
    def type(self) -> str: ...


class AwaitedChanges:
    """Those who wait for events of a stream; in one event loop, and told of changes in any thread.

    Whoever begins to wait before it reads misses nothing: changes are told behind their commit, to all that
    wait by then.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # By the stream and the type of each event that they wait for.
        self._waiting: dict[tuple[str, str], dict[asyncio.Event, None]] = {}
        self._by_user: Counter[str | None] = Counter()
        self._is_closed = False
        self.waiting = 0
        """How many wait."""

    async def read_later(
        self, awaited: Awaited, query: Any, read: Callable[[], Awaitable[Reading]], user: str | None = None
    ) -> Reading:
        """What is read once that has come about, or when its time is over.

        Raises:
            Busy: too many wait, or too many of this user.
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
                # Other events may have changed what is told when the time is over, so it is read again then.
                is_late = clock() >= until
                reading = await read()
                if is_late or reading.refusal is not None or awaited.is_over(reading.body):
                    return reading
                await is_set_within(changed, (until - clock()) * 1_000)

    @contextmanager
    def _waiting_for(self, wanted: list[tuple[str, str]], user: str | None) -> Iterator[asyncio.Event]:
        """What is set with each of these events, for the length of the block, and when nobody may wait."""
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
            # A closed loop has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, awaited)

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._is_closed = True
        self._wake(tuple(self._waiting))

    def _require_open(self) -> None:
        if self._is_closed:
            raise shutting_down()

    def _wake(self, awaited: Iterable[tuple[str, str]]) -> None:
        for one in awaited:
            for changed in self._waiting.get(one, ()):
                changed.set()
