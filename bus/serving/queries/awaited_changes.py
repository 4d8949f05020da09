"""`AwaitedChanges`: queries that are to be answered once something has come about."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from bus.serving.queries.reading import Awaited, Reading
from bus.writing.waiting import shutting_down
from domain.errors import Busy
from hyperpage_client.waiting import is_set_within

# They hold no thread, only what was asked.
MAXIMUM_WAITING = 1_000


class Changed(Protocol):
    """A row of the log: something has happened to a stream."""

    @property
    def stream(self) -> str: ...


class AwaitedChanges:
    """Those who wait for a change of a stream; in one event loop, and told of changes in any thread.

    Whoever begins to wait before it reads misses nothing: changes are told behind their commit, to all that
    wait by then.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, dict[asyncio.Event, None]] = {}
        self._is_closed = False
        self.waiting = 0
        """How many wait."""

    async def read_later(
        self, awaited: Awaited, query: Any, read: Callable[[], Awaitable[Reading]]
    ) -> Reading:
        """What is read once that has come about, or when its time is over.

        Raises:
            Busy: too many wait.
            Unavailable: the service ends.
            What `read` raises.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + awaited.timeout_ms(query) / 1_000
        with self._waiting_for(awaited.stream(query)) as changed:
            while True:
                changed.clear()
                self._require_open()
                reading = await read()
                if reading.refusal is not None or awaited.is_over(reading.body):
                    return reading
                if not await is_set_within(changed, (until - clock()) * 1_000):
                    return reading

    @contextmanager
    def _waiting_for(self, stream: str) -> Iterator[asyncio.Event]:
        """What is set with each change of a stream, for the length of the block, and when nobody may wait."""
        if self.waiting >= MAXIMUM_WAITING:
            raise Busy("too many queries wait for something", hint="try again", retry_after_ms=1_000)
        self._loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        here = self._waiting.setdefault(stream, {})
        here[changed] = None
        self.waiting += 1
        try:
            yield changed
        finally:
            self.waiting -= 1
            del here[changed]
            if not here:
                del self._waiting[stream]

    def tell(self, rows: Iterable[Changed]) -> None:
        """Takes in rows that were committed; from any thread."""
        if not self._waiting or self._loop is None:
            return
        if streams := {row.stream for row in rows if row.stream in self._waiting}:
            # A closed loop has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, streams)

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._is_closed = True
        self._wake(tuple(self._waiting))

    def _require_open(self) -> None:
        if self._is_closed:
            raise shutting_down()

    def _wake(self, streams: Iterable[str]) -> None:
        for stream in streams:
            for changed in self._waiting.get(stream, ()):
                changed.set()
