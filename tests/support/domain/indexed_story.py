"""A story whose due jobs come from the writer's own indexes, as they do in a service."""

from collections.abc import Iterable
from typing import Any

from bus.writing.jobs.indexes import JobIndexes
from bus.writing.jobs.permits import ClaimPermits
from domain.messages import Event
from tests.support.domain.given_when_then import Story


class IndexedStory(Story):
    """Quick also with thousands of jobs. It has no copies: they would share the indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.indexes = JobIndexes()

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> tuple[list[Any], int | None]:
        ids = self.indexes.due.next(queue, types, limit, self.now, (), self._permits())
        retry_at = self.indexes.due.held_until(queue, types, self.now) if len(ids) < limit else None
        # As a writer reads ahead; nothing of that is claimed.
        self.indexes.due.next(queue, types, limit + 8, self.now, (), self._permits())
        return [self.state("jobs", job_id) for job_id in ids], retry_at

    def _permits(self) -> ClaimPermits:
        return ClaimPermits(
            lambda key: self.state("rate_limits", key), self.indexes.throttles.until, self.now
        )

    def _record(self, key: str, event: Event) -> None:
        table = self.table_of[type(event)]
        before = self.state(table, key)
        super()._record(key, event)
        if table == "jobs":
            self.indexes.replace(before, self.state(table, key))
        elif table == "rate_limits":
            self.indexes.limit_changed(key, self.state(table, key))
