"""Which job is next: the waiting jobs of every queue, in memory, in the order of handing out."""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count

import msgspec

# How many jobs of others one search passes over. Who shares a queue with so many wants one of its own.
MAXIMUM_PASSED_OVER = 10_000


class WaitingJob(msgspec.Struct, frozen=True, gc=False):
    """The properties of a job that its place in the order depends on."""

    id: str
    queue: str
    type: str
    priority: int
    run_at: int
    created_position: int


class _Lane:
    """The waiting jobs of one type in one queue: those that are due, best first, and those that are not yet.

    `count` is how many they are. A job that left stays in its heap until it comes up: what an entry holds is
    so only as long as `by_id`, the waiting jobs of all lanes, has that very object.
    """

    __slots__ = ("by_id", "count", "due", "later", "ticket")

    def __init__(self, by_id: Mapping[str, WaitingJob]) -> None:
        self.by_id = by_id
        self.count = 0
        self.due: list[tuple[int, int, int, int, WaitingJob]] = []
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

    def best(self, now: int) -> tuple[int, int, int, int, WaitingJob] | None:
        """The entry of the job to hand out next, if one is due."""
        while self.later and self.later[0][0] <= now:
            run_at, position, ticket, job = heapq.heappop(self.later)
            heapq.heappush(self.due, (-job.priority, run_at, position, ticket, job))
        while self.due and not self._holds(self.due[0][-1]):
            heapq.heappop(self.due)
        return self.due[0] if self.due else None

    def _holds(self, job: WaitingJob) -> bool:
        return self.by_id.get(job.id) is job


class DueJobs:
    """Waiting jobs by queue and type. Owned by the writer's thread."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, _Lane]] = {}
        self._by_id: dict[str, WaitingJob] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[WaitingJob]:
        """All of them, in no order. Any thread may ask: the interpreter copies them in one go."""
        return list(self._by_id.values())

    def add(self, job: WaitingJob) -> None:
        """From now on the job waits."""
        if self._by_id.setdefault(job.id, job) is not job:
            # It waits already, perhaps in another lane: its row was made by no event.
            self.remove(job.id)
            self._by_id[job.id] = job
        lanes = self._queues.get(job.queue)
        if lanes is None:
            lanes = self._queues[job.queue] = {}
        lane = lanes.get(job.type)
        if lane is None:
            lane = lanes[job.type] = _Lane(self._by_id)
        lane.add(job)

    def remove(self, job_id: str) -> None:
        """From now on the job does not wait; nothing happens if it did not."""
        job = self._by_id.pop(job_id, None)
        if job is None:
            return
        lanes = self._queues[job.queue]
        lanes[job.type].remove()
        # Clients choose the names of types and queues, so empty ones must not stay.
        if not lanes[job.type].count:
            del lanes[job.type]
        if not lanes:
            del self._queues[job.queue]

    def next(
        self, queue: str, types: Iterable[str] | None, limit: int, now: int, keys: tuple[str, ...] = ()
    ) -> list[str]:
        """At most `limit` ids of due jobs: higher priority first, then earlier `run_at`, then position.

        With `keys`, only ids that begin with one of them; of others, `MAXIMUM_PASSED_OVER` are looked at.
        """
        lanes = self._queues.get(queue)
        if not lanes:
            return []
        chosen = list(lanes.values()) if types is None else [lanes[one] for one in set(types) if one in lanes]
        taken: list[tuple[_Lane, tuple[int, int, int, int, WaitingJob]]] = []
        ids: list[str] = []
        while len(ids) < limit and len(taken) < limit + MAXIMUM_PASSED_OVER:
            best = min(
                ((entry, lane) for lane in chosen if (entry := lane.best(now)) is not None),
                key=lambda pair: pair[0][:3],
                default=None,
            )
            if best is None:
                break
            entry, lane = best
            heapq.heappop(lane.due)
            taken.append((lane, entry))
            job = entry[-1]
            if not keys or job.id.startswith(keys):
                ids.append(job.id)
        # They are only looked at here; the caller takes them out with `remove`.
        for lane, entry in taken:
            heapq.heappush(lane.due, entry)
        return ids
