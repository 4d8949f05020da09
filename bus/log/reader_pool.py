"""Connections for reading, opened when they are needed and never more than a limit."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

import apsw
import msgspec

from bus.log.damage import Damage
from bus.log.page_cache import PageCache, read_page_cache
from migrations.connection import open_reader


class PoolExhaustedError(TimeoutError):
    """Every connection stayed in use for as long as a reader is willing to wait."""

    def __init__(self, maximum: int, wait_seconds: float) -> None:
        super().__init__(f"all {maximum} reading connections stayed in use for {wait_seconds:g} s")


class PoolClosedError(RuntimeError):
    """The pool was closed, and lends no connections any more."""

    def __init__(self) -> None:
        super().__init__("the pool of reading connections is closed")


class _Idle(msgspec.Struct, frozen=True):
    connection: apsw.Connection
    since: float


class ReaderPool:
    """Lends connections that cannot write; any thread may ask.

    `maximum` is how many there are at most, `in_use` how many are lent at this moment. A connection that is
    idle for `idle_seconds` is closed. A reader waits for one for `wait_seconds` while all are in use. `clock`
    counts seconds from any moment. `has_views`: see `distrust`. `damage` is what readers have found.
    """

    def __init__(
        self,
        path: Path,
        *,
        maximum: int = 20,
        idle_seconds: float = 30.0,
        wait_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        has_views: bool = False,
    ) -> None:
        self._path = path
        self.damage = Damage()
        self.maximum = maximum
        self.idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._has_views = has_views
        # Guards everything below, and is notified when a connection comes back.
        self._returned = Condition()
        # The longest idle ones on the left. They are lent from the right, so that few stay warm and the rest
        # can be closed.
        self._idle: deque[_Idle] = deque()
        self.in_use = 0
        self._closed = False
        # The counts of connections that were idle too long, and of the others when they were last looked at.
        self._cache = PageCache()

    @property
    def open(self) -> int:
        """How many connections are open, lent or idle."""
        with self._returned:
            return self.in_use + len(self._idle)

    @property
    def cache(self) -> PageCache:
        """The counts of all page caches so far; connections that are lent count when they are back."""
        with self._returned:
            used_bytes = 0
            for idle in self._idle:
                self._cache = self._cache.later(read_page_cache(idle.connection, reset=True))
                used_bytes += self._cache.used_bytes
            return PageCache(self._cache.hits, self._cache.misses, used_bytes)

    @contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """A connection for the length of the block. What it read must be fetched before the block ends.

        Raises:
            PoolExhaustedError: none became free in time.
            PoolClosedError: the pool is closed.
            apsw.CantOpenError: there is no file.
        """
        connection = self._take()
        try:
            with self.damage.noted("a reader"):
                yield connection
        finally:
            self._give_back(connection)

    def separate(self) -> apsw.Connection:
        """A connection outside of the pool: its owner closes it, and it does not count.

        Raises:
            apsw.CantOpenError: there is no file.
        """
        return open_reader(self._path, has_views=self._has_views)

    def close_idle(self) -> None:
        """Closes connections that were idle too long. Each use does so, too; only an idle pool needs this."""
        with self._returned:
            expired = self._expired()
        for connection in expired:
            connection.close()

    def close(self) -> None:
        """Closes idle connections now, lent ones when they return. Waiting readers get `PoolClosedError`."""
        with self._returned:
            self._closed = True
            connections = [self._leaving(idle.connection) for idle in self._idle]
            self._idle.clear()
            self._returned.notify_all()
        for connection in connections:
            connection.close()

    def _take(self) -> apsw.Connection:
        with self._returned:
            has_room = self._returned.wait_for(
                lambda: self._closed or self.in_use < self.maximum, self._wait_seconds
            )
            if not has_room:
                raise PoolExhaustedError(self.maximum, self._wait_seconds)
            if self._closed:
                raise PoolClosedError
            # Counted before it is opened, outside the lock: opening reads the disk.
            self.in_use += 1
            if self._idle:
                return self._idle.pop().connection
        try:
            with self.damage.noted("a reader"):
                return self.separate()
        except BaseException:
            with self._returned:
                self.in_use -= 1
                self._returned.notify()
            raise

    def _give_back(self, connection: apsw.Connection) -> None:
        # A connection that is still reading would keep the WAL from ever being reset.
        is_still_reading = connection.txn_state() != apsw.SQLITE_TXN_NONE
        with self._returned:
            leaving = self._expired()
            if self._closed or is_still_reading:
                leaving.append(self._leaving(connection))
            else:
                self._idle.append(_Idle(connection, self._clock()))
            self.in_use -= 1
            self._returned.notify()
        for each in leaving:
            # Forced: a cursor that was not read to its end would keep it open.
            each.close(True)

    def _expired(self) -> list[apsw.Connection]:
        oldest_allowed = self._clock() - self.idle_seconds
        expired = []
        while self._idle and self._idle[0].since <= oldest_allowed:
            expired.append(self._leaving(self._idle.popleft().connection))
        return expired

    def _leaving(self, connection: apsw.Connection) -> apsw.Connection:
        """A connection that is about to be closed, once the counts of its page cache are noted."""
        self._cache = self._cache.later(read_page_cache(connection))
        return connection
