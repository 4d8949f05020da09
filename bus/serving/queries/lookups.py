"""`Lookups`: looks rows up by their keys in the calling thread, as long as that is quick."""

import asyncio
import time
from collections.abc import Callable

import apsw

from bus.log.damage import Damage
from bus.log.snapshot import begin_snapshot, end_snapshot
from hyperpage_client.contract.log_place import LogPlace

# If look-ups take longer than this on average, twenty threads read more in a second than one does. A row
# whose pages are in memory takes 20 µs; beside busy threads, the wait for Python's lock may add some
# milliseconds.
SLOW_SECONDS = 0.02
# The weight of one look-up in the average: a single one that takes a fifth of a second brings it to the
# limit.
WEIGHT = 0.1
# How long the reading threads look rows up then, before `Lookups` is used again.
PAUSE_SECONDS = 1.0


class Lookups:
    """Look-ups on a connection of their own, opened when it is needed; used in one thread.

    `with lookups as (connection, place)` is one look-up; `place` is where the log is in what it sees. All
    look-ups of one turn of the thread's loop see the same snapshot: their queries had all arrived when the
    first one began. `known` returns where the log is at least. `next_turn` schedules a call in the loop's
    next turn. `clock` counts seconds. Damage of the file that is met is noted in `damage`.
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
        # The log's place in the snapshot of this turn.
        self._place: LogPlace | None = None
        self._began = 0.0
        self._average_seconds = 0.0
        self._paused_until = 0.0

    @property
    def are_quick(self) -> bool:
        """Whether rows may be looked up here: the last look-ups were quick, or a pause since then is over."""
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
        """Makes the next look-up see `least`, which the log has reached; the turn's snapshot may be older."""
        if self._place is not None and not self._place.has(least):
            self._end_turn()

    def close(self) -> None:
        """Closes the connection; the next look-up opens another one."""
        self._place = None
        if self._connection is not None:
            # Forced, because a cursor that was not read to its end would keep the connection open.
            self._connection.close(True)
            self._connection = None

    def _begin_turn(self) -> tuple[apsw.Connection, LogPlace]:
        # Asked before the snapshot begins, so that the snapshot is at least as new.
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
            # An open read transaction would keep the WAL from being reset.
            self.close()

    def _note(self, now: float) -> None:
        self._average_seconds += WEIGHT * (now - self._began - self._average_seconds)
        if self._average_seconds > SLOW_SECONDS:
            self._average_seconds = 0.0
            self._paused_until = now + PAUSE_SECONDS
