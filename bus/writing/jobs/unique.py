"""Which unfinished jobs have a unique key.

Finished ones are found by an index of their table instead: there may be any number of them, and they may stay
for ever, while unfinished ones are in memory anyway.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

# The position at which a job was made, and its id.
_Place = tuple[int, str]


class UniqueJobs:
    """Job ids by unique key. Owned by the writer's thread.

    A job that finishes stays until the transaction has settled: its row does not say so before.
    """

    def __init__(self) -> None:
        # In the order of their positions: a caller wants the newest few of any number of jobs.
        self._by_key: dict[str, list[_Place]] = {}
        self._left: set[tuple[str, _Place]] = set()

    def add(self, key: str, job_id: str, created_position: int) -> None:
        """From now on the job is unfinished."""
        place = (created_position, job_id)
        self._left.discard((key, place))
        jobs = self._by_key.setdefault(key, [])
        if not _has(jobs, place):
            insort(jobs, place)

    def remove(self, key: str, job_id: str, created_position: int) -> None:
        """From now on the job is finished, or was taken back; nothing happens if it is not known."""
        place = (created_position, job_id)
        if _has(self._by_key.get(key, ()), place):
            self._left.add((key, place))

    def newest_first(self, key: str) -> Iterator[str]:
        """The jobs with a key: unfinished, or finished or taken back in the open transaction."""
        return (job_id for _, job_id in reversed(self._by_key.get(key, ())))

    def settle(self) -> None:
        """The open transaction is on disk, or was taken back."""
        for key, place in self._left:
            jobs = self._by_key[key]
            del jobs[bisect_left(jobs, place)]
            if not jobs:
                del self._by_key[key]
        self._left.clear()


def _has(jobs: Sequence[_Place], place: _Place) -> bool:
    index = bisect_left(jobs, place)
    return index < len(jobs) and jobs[index] == place
