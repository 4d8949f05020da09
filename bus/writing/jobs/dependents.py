"""Which jobs wait for which others, and which of those have ended meanwhile."""

from collections.abc import Iterable
from heapq import nsmallest


class Dependents:
    """Waiting jobs by the jobs that they wait for. Owned by the writer's thread.

    `ended` are jobs that have ended while others waited for them, and whether they failed: the jobs that wait
    for them may not all be decided yet.
    """

    def __init__(self) -> None:
        # Patient jobs go on waiting when a job that they wait for fails.
        self._patient: dict[str, dict[str, int]] = {}
        self._impatient: dict[str, dict[str, int]] = {}
        self.ended: dict[str, bool] = {}

    def add(self, job_id: str, created_position: int, waiting_for: Iterable[str], *, patient: bool) -> None:
        """From now on the job waits for these."""
        waiting = self._patient if patient else self._impatient
        for awaited in waiting_for:
            waiting.setdefault(awaited, {})[job_id] = created_position

    def remove(self, job_id: str, waiting_for: Iterable[str], *, patient: bool) -> None:
        """From now on the job does not wait for these; nothing happens if it did not."""
        waiting = self._patient if patient else self._impatient
        for awaited in waiting_for:
            jobs = waiting.get(awaited, {})
            jobs.pop(job_id, None)
            if not jobs:
                waiting.pop(awaited, None)

    def is_awaited(self, job_id: str) -> bool:
        """Whether any job waits for this one."""
        return job_id in self._impatient or job_id in self._patient

    def first(self, job_id: str, limit: int, *, failed: bool) -> list[str]:
        """At most `limit` of the jobs that wait for this one, the oldest first.

        If it `failed`, those that go on waiting are left out.
        """
        jobs = self._waiting(job_id, failed)
        return nsmallest(limit, jobs, key=lambda job: jobs[job])

    def left(self, job_id: str) -> int:
        """How many of the jobs that wait for this one, which has ended, need not wait any longer."""
        impatient = len(self._impatient.get(job_id, ()))
        return impatient if self.ended.get(job_id) else impatient + len(self._patient.get(job_id, ()))

    def _waiting(self, job_id: str, failed: bool) -> dict[str, int]:
        impatient = self._impatient.get(job_id, {})
        return impatient if failed else impatient | self._patient.get(job_id, {})
