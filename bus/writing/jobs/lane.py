"""Waiting jobs in the order of handing out: those that are due, and those that are to come."""

import heapq
from collections.abc import Mapping
from itertools import count

import msgspec

# An entry of a job that is due: the place in the order, a ticket, and the job.
DueEntry = tuple[int, int, int, int, "WaitingJob"]


class WaitingJob(msgspec.Struct, frozen=True, gc=False):
    """The properties of a job that its place in the order depends on."""

    id: str
    queue: str
    type: str
    priority: int
    run_at: int
    created_position: int
    # The limit that its calls count against, and how many they are.
    limit: str | None = None
    cost: int = 1


class Lane:
    """The waiting jobs of one type in one queue: those that are due, best first, and those that are not yet.

    `count` is how many they are. A job that left stays in its heap until it comes up: what an entry holds is
    so only as long as `by_id`, the waiting jobs of all lanes, has that very object.
    """

    __slots__ = ("by_id", "count", "due", "later", "ticket")

    def __init__(self, by_id: Mapping[str, WaitingJob]) -> None:
        self.by_id = by_id
        self.count = 0
        self.due: list[DueEntry] = []
        self.later: list[tuple[int, int, int, WaitingJob]] = []
        # Two entries may have the same place in the order: if an enqueueing is taken back, the next one gets
        # its position. So each has a number of its own, without which the jobs would be compared.
        self.ticket = count()

    def add(self, job: WaitingJob) -> None:
        self.count += 1
        heapq.heappush(self.later, (job.run_at, job.created_position, next(self.ticket), job))

    def remove(self) -> None:
        """One of them has left `by_id`."""
        self.count -= 1
        # Entries of jobs that have left are never more than those that wait, however many are cancelled.
        if len(self.due) + len(self.later) > 2 * self.count + 64:
            self.due = [entry for entry in self.due if self._holds(entry[-1])]
            self.later = [entry for entry in self.later if self._holds(entry[-1])]
            heapq.heapify(self.due)
            heapq.heapify(self.later)

    def best(self, now: int) -> DueEntry | None:
        """The entry of the job to hand out next, if one is due."""
        while self.later and self.later[0][0] <= now:
            run_at, position, ticket, job = heapq.heappop(self.later)
            heapq.heappush(self.due, (-job.priority, run_at, position, ticket, job))
        while self.due and not self._holds(self.due[0][-1]):
            heapq.heappop(self.due)
        return self.due[0] if self.due else None

    def next_run_at(self) -> int | None:
        """When the first of those is due that were not yet when `best` was asked."""
        while self.later and not self._holds(self.later[0][-1]):
            heapq.heappop(self.later)
        return self.later[0][0] if self.later else None

    def _holds(self, job: WaitingJob) -> bool:
        return self.by_id.get(job.id) is job
