"""`AwaitedPlaces`: queries that wait until the store has reached a place in the log."""

import asyncio
from collections.abc import Callable
from itertools import count

from bus.writing.waiting import shutting_down
from domain.errors import Behind, Busy
from hyperpage_client.contract.log_place import LogPlace

# How long a query waits for its place. A follower is normally behind by milliseconds. If it is further
# behind, it says so while the caller still has time to ask another service.
LONGEST_WAIT_SECONDS = 2.0
# How often the log's place is looked at while a query waits. The writer, or the follower's thread, need not
# tell of each change, which would hold it up.
LOOK_SECONDS = 0.002
# The most queries that wait. A waiting query holds no thread, only its request.
MAXIMUM_WAITING = 1_000


class AwaitedPlaces:
    """Queries that wait; used in one event loop.

    `place` is where the log is. `leads` says whether no other service can have more of the log.
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
        """The number of queries that wait."""
        return len(self._waiting)

    async def reach(self, least: LogPlace) -> None:
        """Returns when the log has reached a place, or is past it.

        Raises:
            Behind: the log did not reach it in time.
            Busy: too many queries wait.
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
        """Ends all waits with a refusal, and refuses new ones."""
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
