"""`Lookups`: rows looked up by their keys, at once, for as long as that is quick."""

import asyncio
import time
from collections.abc import Callable

import apsw

from bus.log.damage import Damage
from bus.log.snapshot import begin_snapshot, end_snapshot
from hyperpage_client.contract.log_place import LogPlace

# Above this, on the average, twenty threads read more in a second than one does. A row whose pages are in
# memory takes 20 µs; beside busy threads, the wait for Python's lock may add some milliseconds.
SLOW_SECONDS = 0.02
# The weight of one in the average: a single one that takes a fifth of a second is enough.
WEIGHT = 0.1
# How long others look rows up then, before this tries again.
PAUSE_SECONDS = 1.0


class Lookups:
    """A connection of its own, opened when it is needed; used in one thread. `clock` counts seconds.

    `with lookups as (connection, place)` is one look-up, and where the log is in what it sees. Those of one
    turn of the thread's loop see the same: all of them had arrived when the first one began. `known` answers
    where the log is at least, and `next_turn` has something called in the loop's next turn. What damage is
    met is told to `damage`.
    """

    def __init__(
        self,
        open_reader: Callable[[], apsw.Connection],
        known: Callable[[], LogPlace],
        clock: Callable[[], float] = time.monotonic,
        *,
        next_turn: Callable[[Callable[[], None]], object] = lambda end: asyncio.get_running_loop().call_soon(
            end
        ),
        damage: Damage | None = None,
    ) -> None:
        self._damage = damage or Damage()
        self._open_reader = open_reader
        self._known = known
        self._clock = clock
        self._next_turn = next_turn
        self._connection: apsw.Connection | None = None
        # Where the log is in what this turn sees.
        self._place: LogPlace | None = None
        self._began = 0.0
        self._average_seconds = 0.0
        self._paused_until = 0.0

    @property
    def are_quick(self) -> bool:
        """Whether something may be looked up here, as far as the last ones tell."""
        return self._clock() >= self._paused_until

    def __enter__(self) -> tuple[apsw.Connection, LogPlace]:
        self._began = self._clock()
        if self._connection is None or self._place is None:
            with self._damage.noted("a look-up"):
                return self._begin_turn()
        return self._connection, self._place

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            self._damage.note(error, "a look-up")
        self._note(self._clock())

    def see(self, least: LogPlace) -> None:
        """Has the next look-up see a place that the log has come to by now; this turn may see older ones."""
        if self._place is not None and not self._place.has(least):
            self._end_turn()

    def close(self) -> None:
        """Closes the connection; the next look-up opens another one."""
        self._place = None
        if self._connection is not None:
            # Forced: a cursor that was not read to its end would keep it open.
            self._connection.close(True)
            self._connection = None

    def _begin_turn(self) -> tuple[apsw.Connection, LogPlace]:
        # Before there is a connection: what it sees is newer.
        known = self._known()
        if self._connection is None:
            self._connection = self._open_reader()
        place = begin_snapshot(self._connection, known, self._damage)
        self._next_turn(self._end_turn)
        self._place = place
        return self._connection, place

    def _end_turn(self) -> None:
        self._place = None
        connection = self._connection
        if connection is None:
            return
        try:
            end_snapshot(connection)
            is_still_reading = connection.txn_state() != apsw.SQLITE_TXN_NONE
        except apsw.Error as error:
            self._damage.note(error, "a look-up")
            is_still_reading = True
        if is_still_reading:
            # It would keep the WAL from ever being reset.
            self.close()

    def _note(self, now: float) -> None:
        self._average_seconds += WEIGHT * (now - self._began - self._average_seconds)
        if self._average_seconds > SLOW_SECONDS:
            self._average_seconds = 0.0
            self._paused_until = now + PAUSE_SECONDS
