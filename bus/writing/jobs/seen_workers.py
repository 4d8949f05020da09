"""Who asks for jobs, and for which: the workers that have claimed lately, in memory."""

from collections import OrderedDict
from collections.abc import Iterable

from domain.jobs.workers import SeenWorker

# How many names they have together, of themselves and of types. A name has 800 bytes at most: 40 MB.
MAXIMUM_NAMES = 50_000
# Of the worker, its queue, its host and its version.
_OWN_NAMES = 4
# A worker with all its hands full asks for nothing, for as long as its jobs take.
FORGOTTEN_AFTER_MS = 3_600_000


class SeenWorkers:
    """The workers that claimed in the last hour, the latest ones where they are too many.

    Nothing of it is kept: after a start or a change of the leader, it begins anew. Owned by the writer's
    thread.
    """

    def __init__(self) -> None:
        # In the order of their last claims. A plain dictionary would look for its first one among all that
        # have moved away from there, at each claim.
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
        """A worker claims now, whether it gets a job or not."""
        # The same types are the same claim, in whatever order they come.
        place = (worker, queue, None if types is None else tuple(sorted(set(types))))
        # What is known keeps its names: those of a further claim are others in memory.
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
