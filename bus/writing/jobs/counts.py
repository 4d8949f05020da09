"""The counts behind limits of jobs: how many run, and how many attempts began within a window."""

from collections import deque
from collections.abc import Iterable

from domain.limiting import CountedRate

# What attempts are counted for: the key of a rate, or a queue, and how long the window is.
RateOf = tuple[str | None, str | None, int]
# With at least this many rates, those whose begins are all over are looked for.
_FEW = 64


class RunningJobs:
    """How many jobs of each key run. Owned by the writer's thread."""

    def __init__(self) -> None:
        self._by_key: dict[str, int] = {}

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._by_key)

    def all(self) -> dict[str, int]:
        """How many jobs of each key run."""
        return dict(self._by_key)

    def of(self, key: str) -> int:
        """How many jobs with the key run."""
        return self._by_key.get(key, 0)

    def add(self, key: str) -> None:
        """From now on one more runs."""
        self._by_key[key] = self.of(key) + 1

    def remove(self, key: str) -> None:
        """One of them runs no longer; nothing happens if none was known."""
        if (left := self.of(key) - 1) > 0:
            self._by_key[key] = left
        else:
            self._by_key.pop(key, None)


class Begins:
    """When attempts began, by what they are counted for. Owned by the writer's thread.

    A begin is kept for the length of its window. No event says when that is over, and clients choose the
    keys. So rates whose begins are all over are dropped whenever there are twice as many as the last time.
    """

    def __init__(self, known: Iterable[tuple[CountedRate, int]] = ()) -> None:
        self._times: dict[RateOf, deque[int]] = {}
        self._drop_beyond = _FEW
        for one, at in known:
            self.add(one, at)

    def __len__(self) -> int:
        """How many rates are kept."""
        return len(self._times)

    def add(self, counted: CountedRate, at: int) -> None:
        """Notes that an attempt began; none that is known began later."""
        times = self._times.get(_rate_of(counted))
        if times is None:
            if len(self._times) >= self._drop_beyond:
                self._drop(at)
            times = self._times[_rate_of(counted)] = deque()
        times.append(at)

    def remove(self, counted: CountedRate) -> None:
        """Takes back the begin of the attempt that began last."""
        times = self._times.get(_rate_of(counted))
        if times:
            times.pop()

    def allowed_from(self, counted: CountedRate, limit: int, taken: int, now: int) -> int:
        """When another attempt may begin, beside `taken` ones that begin now."""
        times = self._times.get(_rate_of(counted), ())
        while times and times[0] <= now - counted.window_ms:
            times.popleft()
        over = len(times) + taken - limit
        if over < 0:
            return now
        return (times[over] if over < len(times) else now) + counted.window_ms

    def room(self, counted: CountedRate, limit: int, now: int) -> tuple[int, int]:
        """How many attempts may begin now, and when the next one after them may."""
        next_at = self.allowed_from(counted, limit, 0, now)
        room = max(0, limit - len(self._times.get(_rate_of(counted), ())))
        return room, self.allowed_from(counted, limit, room, now) if room else next_at

    def at(self, now: int) -> dict[RateOf, list[int]]:
        """The begins that count at a moment."""
        counting = {
            rate: [one for one in times if one > now - rate[-1]] for rate, times in self._times.items()
        }
        return {rate: times for rate, times in counting.items() if times}

    def _drop(self, now: int) -> None:
        for rate, times in list(self._times.items()):
            if not times or times[-1] <= now - rate[-1]:
                del self._times[rate]
        self._drop_beyond = 2 * len(self._times) + _FEW


def _rate_of(counted: CountedRate) -> RateOf:
    return counted.key, counted.queue, counted.window_ms
