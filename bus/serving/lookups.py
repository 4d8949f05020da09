"""`Lookups`: rows looked up by their keys, at once, for as long as that is quick."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from bus.log.damage import Damage

# Above this, on the average, twenty threads read more in a second than one does. A row whose pages are in
# memory takes 20 µs; beside busy threads, the wait for Python's lock may add some milliseconds.
SLOW_SECONDS = 0.02
# The weight of one in the average: a single one that takes a fifth of a second is enough.
WEIGHT = 0.1
# How long others look rows up then, before this tries again.
PAUSE_SECONDS = 1.0


class Lookups:
    """A connection of its own, opened when it is needed; used in one thread. `clock` counts seconds.

    What damage is met is told to `damage`.
    """

    def __init__(
        self,
        open_reader: Callable[[], apsw.Connection],
        clock: Callable[[], float] = time.monotonic,
        *,
        damage: Damage | None = None,
    ) -> None:
        self._damage = damage or Damage()
        self._open_reader = open_reader
        self._clock = clock
        self._connection: apsw.Connection | None = None
        self._average_seconds = 0.0
        self._paused_until = 0.0

    @property
    def are_quick(self) -> bool:
        """Whether something may be looked up here, as far as the last ones tell."""
        return self._clock() >= self._paused_until

    @contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        """The connection, for one look-up."""
        began = self._clock()
        if self._connection is None:
            with self._damage.noted("a look-up"):
                self._connection = self._open_reader()
        try:
            with self._damage.noted("a look-up"):
                yield self._connection
        finally:
            if self._connection.txn_state() != apsw.SQLITE_TXN_NONE:
                # One that is still reading would keep the WAL from ever being reset.
                self.close()
            self._note(self._clock(), began)

    def close(self) -> None:
        """Closes the connection; the next look-up opens another one."""
        if self._connection is not None:
            # Forced: a cursor that was not read to its end would keep it open.
            self._connection.close(True)
            self._connection = None

    def _note(self, now: float, began: float) -> None:
        self._average_seconds += WEIGHT * (now - began - self._average_seconds)
        if self._average_seconds > SLOW_SECONDS:
            self._average_seconds = 0.0
            self._paused_until = now + PAUSE_SECONDS
