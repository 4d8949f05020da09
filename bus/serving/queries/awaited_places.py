"""`AwaitedPlaces`: queries that are to be answered by a store that has come to a place in the log."""

import asyncio
from collections.abc import Callable
from itertools import count

from bus.writing.waiting import shutting_down
from domain.errors import Behind, Busy
from hyperpage_client.contract.log_place import LogPlace

# How long a query waits for its place. Who serves what another wrote is behind by milliseconds; one that is
# behind by more says so while the caller still has time to ask another.
LONGEST_WAIT_SECONDS = 2.0
# How often is looked, while somebody waits. Who writes the log, or follows it, is not held up by telling.
LOOK_SECONDS = 0.002
# They hold no thread, only what was asked.
MAXIMUM_WAITING = 1_000


class AwaitedPlaces:
    """Queries that wait; used in one event loop.

    `place` is where the log is. `leads` says whether nobody else can have more of it.
    """

    def __init__(self, place: Callable[[], LogPlace], leads: Callable[[], bool] = lambda: True) -> None:
        self._place = place
        self._leads = leads
        self._numbers = count()
        self._waiting: dict[int, tuple[LogPlace, asyncio.Future[None]]] = {}
        self._next_look: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        """How many wait."""
        return len(self._waiting)

    async def reach(self, least: LogPlace) -> None:
        """Returns when the log is at a place, or behind it.

        Raises:
            Behind: it did not come there in time.
            Busy: too many wait.
            Unavailable: the service ends.
        """
        self._require_room()
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._waiting[number] = least, reached
        if self._next_look is None:
            self._look()
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await reached
        except TimeoutError:
            place = self._place()
            if not place.has(least):
                raise Behind(**place._asdict(), leads=self._leads()) from None
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Lets nobody wait any more."""
        self._is_closed = True
        for _, reached in self._waiting.values():
            if not reached.done():
                reached.set_exception(shutting_down())

    def _look(self) -> None:
        place = self._place()
        self._next_look = None
        for least, reached in self._waiting.values():
            if reached.done():
                continue
            if place.has(least):
                reached.set_result(None)
            elif self._next_look is None:
                self._next_look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _require_room(self) -> None:
        if self._is_closed:
            raise shutting_down()
        if len(self._waiting) >= MAXIMUM_WAITING:
            raise Busy("too many queries wait for the log", hint="try again", retry_after_ms=500)
