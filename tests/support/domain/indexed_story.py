"""A story whose due jobs come from the writer's own indexes, as they do in a service."""

from collections.abc import Iterable
from typing import Any

from bus.writing.jobs.indexes import JobIndexes, OpenJob
from bus.writing.jobs.lane import Counted, WaitingJob
from bus.writing.jobs.permits import ClaimPermits
from domain.decider import Due
from domain.jobs.state import FINISHED
from domain.limiting import CountedRate
from domain.messages import Event
from tests.support.domain.given_when_then import Story


class IndexedStory(Story):
    """A story that stays quick with thousands of jobs. It can't be copied: a copy would share the indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.indexes = JobIndexes()
        self._changes: list[tuple[str, str, Any]] = []

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> Due:
        ids = self.indexes.due.next(queue, types, limit, self.now, (), self._permits())
        retry_at = self.indexes.due.held_until(queue, types, self.now) if len(ids) < limit else None
        # A writer reads ahead, too; these jobs are not claimed.
        self.indexes.due.next(queue, types, limit + 8, self.now, (), self._permits())
        waits_for_ends = len(ids) < limit and self.indexes.due.waits_for_ends(queue, types)
        return Due([self.state("jobs", job_id) for job_id in ids], retry_at, waits_for_ends)

    def undo(self, changes: int) -> None:
        """Takes back all but the first so many changes of the open transaction."""
        while len(self._changes) > changes:
            table, key, before = self._changes.pop()
            after = self.states[table, key].pop()
            self.streams[table, key].pop()
            if table == "jobs":
                self.indexes.replace(after, before)
            elif table == "rate_limits":
                self.indexes.limit_changed(key, before)

    @property
    def changes(self) -> int:
        """The number of changes in the open transaction."""
        return len(self._changes)

    def settle(self) -> None:
        """Ends the transaction, as when it is on disk."""
        self._changes.clear()
        self.indexes.settle()

    def reopened(self) -> None:
        """Makes the indexes anew from the jobs that there are, as at a start."""
        jobs = [job for job in self._jobs() if job.state not in FINISHED]
        names = OpenJob.__struct_fields__
        self.indexes = JobIndexes(
            [OpenJob(**{name: getattr(job, name) for name in names}) for job in jobs],
            (),
            [one for one in self._limits() if one.throttled_until is not None],
            began=self._begins(),
        )

    def running_in(self, queue: str) -> int:
        return self.indexes.running_in(queue)

    def rate_room(self, counted: CountedRate, limit: int) -> tuple[int, int]:
        return self.indexes.begins.room(counted, limit, self.now)

    def _permits(self) -> ClaimPermits:
        return ClaimPermits(
            lambda key: self.state("rate_limits", key),
            self.indexes.throttles.until,
            self.indexes.running,
            self.indexes.begins,
            self.now,
        )

    def _record(self, key: str, event: Event) -> None:
        table = self.table_of[type(event)]
        before = self.state(table, key)
        super()._record(key, event)
        self._changes.append((table, key, before))
        if table == "jobs":
            self.indexes.replace(before, self.state(table, key))
        elif table == "rate_limits":
            self.indexes.limit_changed(key, self.state(table, key))


class Unlimited:
    """Limits that hold no job up."""

    def refusal(self, job: WaitingJob) -> None:
        return None

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        pass

    def counted(self, counted: Counted) -> int:
        return 0
