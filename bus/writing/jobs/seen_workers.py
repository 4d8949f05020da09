"""`SeenWorkers`: the workers that have claimed jobs lately, and for what they asked, in memory."""

from collections import OrderedDict
from collections.abc import Iterable

from domain.jobs.workers import SeenWorker

# How many names all workers have together: their own, and those of types. With 800 bytes each at most: 40 MB.
MAXIMUM_NAMES = 50_000
# The names of the worker, its queue, its host and its version.
_OWN_NAMES = 4
# For how long a worker is kept without a claim. One that is fully busy claims nothing while its jobs run.
FORGOTTEN_AFTER_MS = 3_600_000


class SeenWorkers:
    """The workers that claimed in the last hour; only the latest ones if they are too many.

    Nothing of this is stored: it is empty after a start or a change of the leader. Owned by the writer's
    thread.
    """

    def __init__(self) -> None:
        # In the order of their last claims. A plain dictionary would pass over all places that workers have
        # moved away from, at each claim, to find its first one.
        self._seen: OrderedDict[tuple[str, str, tuple[str, ...] | None], SeenWorker] = OrderedDict()
        self._names = 0

    def note(
        self,
        worker: str,
        queue: str,
        types: Iterable[str] | None,
        now: int,
        *,
        host: str | None = None,
        version: str | None = None,
    ) -> None:
        """Notes that a worker claims now, whether it gets a job or not."""
        # The same types are the same claim, in whatever order they come.
        place = (worker, queue, None if types is None else tuple(sorted(set(types))))
        # A known worker keeps its names: the equal ones of a new claim are other objects in memory.
        seen = self._seen.get(place)
        if seen is None:
            seen = SeenWorker(
                worker=worker, queue=queue, types=place[2], first_claim_at=now, last_claim_at=now
            )
            self._seen[place] = seen
            self._names += _names(seen)
        self._seen.move_to_end(place)
        seen.last_claim_at = max(now, seen.last_claim_at)
        seen.host, seen.version = host, version
        while True:
            place, first = next(iter(self._seen.items()))
            if self._names <= MAXIMUM_NAMES and first.last_claim_at >= now - FORGOTTEN_AFTER_MS:
                return
            del self._seen[place]
            self._names -= _names(first)

    def all(self) -> list[SeenWorker]:
        """All of them. Any thread may ask: the interpreter copies them in one go."""
        return list(self._seen.values())


def _names(seen: SeenWorker) -> int:
    return _OWN_NAMES + len(seen.types or ())
