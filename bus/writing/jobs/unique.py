"""Which unfinished jobs have a unique key.

Finished ones are found by an index of their table instead: there may be any number of them, and they may stay
for ever, while what is unfinished is in memory anyway.
"""


class UniqueJobs:
    """Job ids by unique key. Owned by the writer's thread.

    A job that finishes stays until the transaction has settled: its row does not tell of it before.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, dict[str, int]] = {}
        self._left: set[tuple[str, str]] = set()

    def add(self, key: str, job_id: str, created_position: int) -> None:
        """From now on the job is unfinished."""
        self._left.discard((key, job_id))
        self._by_key.setdefault(key, {})[job_id] = created_position

    def remove(self, key: str, job_id: str) -> None:
        """From now on the job is finished, or has never been; nothing happens if it is not known."""
        if job_id in self._by_key.get(key, {}):
            self._left.add((key, job_id))

    def newest_first(self, key: str) -> list[str]:
        """The jobs with a key, unfinished or finished by the open transaction; some may never have been."""
        jobs = self._by_key.get(key, {})
        return sorted(jobs, key=lambda job_id: jobs[job_id], reverse=True)

    def settle(self) -> None:
        """The open transaction is on disk, or was taken back."""
        for key, job_id in self._left:
            jobs = self._by_key[key]
            del jobs[job_id]
            if not jobs:
                del self._by_key[key]
        self._left.clear()
