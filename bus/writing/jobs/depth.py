"""How many unfinished jobs each queue has, by type where they wait, and since when the oldest is due."""

import time
from collections.abc import Iterable, Mapping

import msgspec

from bus.writing.jobs.lane import WaitingJob

# A queue, and a type of its jobs.
TypeInQueue = tuple[str, str]
STATES = ("due", "scheduled", "running", "held", "blocked")
# How many jobs are counted in one go. That takes a tenth of a millisecond, in which no other thread runs.
_JOBS_AT_ONCE = 1_000


class Depth(msgspec.Struct):
    """The unfinished jobs of one queue. `oldest_due_at` is the earliest time of those that are due.

    `due` are those that a worker may have now, `scheduled` those due later, also for another attempt.
    """

    due: int = 0
    scheduled: int = 0
    running: int = 0
    held: int = 0
    blocked: int = 0
    oldest_due_at: int | None = None

    @property
    def jobs(self) -> int:
        """How many jobs there are in all states together."""
        return self.due + self.scheduled + self.running + self.held + self.blocked

    def add(self, other: "Depth") -> None:
        """Adds the jobs of another depth."""
        for state in STATES:
            setattr(self, state, getattr(self, state) + getattr(other, state))
        if other.oldest_due_at is not None:
            self.note_due(other.oldest_due_at)

    def note_due(self, at: int) -> None:
        """Notes that a job is due since then."""
        if self.oldest_due_at is None or at < self.oldest_due_at:
            self.oldest_due_at = at

    def overdue_seconds(self, now: int) -> float:
        """For how long the oldest due job has waited to begin; 0 if none is due."""
        return 0.0 if self.oldest_due_at is None else max(0, now - self.oldest_due_at) / 1_000


def depth_by_type(waiting: list[WaitingJob], now: int) -> dict[TypeInQueue, Depth]:
    """The jobs that wait for a worker, by queue and type.

    Any thread may call it, and other threads run in between; 100,000 waiting jobs take some 20 ms.
    """
    depths: dict[TypeInQueue, Depth] = {}
    for begin in range(0, len(waiting), _JOBS_AT_ONCE):
        for job in waiting[begin : begin + _JOBS_AT_ONCE]:
            place = (job.queue, job.type)
            depth = depths.get(place)
            if depth is None:
                depth = depths[place] = Depth()
            if job.run_at > now:
                depth.scheduled += 1
            else:
                depth.due += 1
                depth.note_due(job.run_at)
        # Releases the interpreter; otherwise the writer's thread would wait for 5 ms.
        time.sleep(0)
    return depths


def depth_by_queue(
    by_type: Mapping[TypeInQueue, Depth], aside: Iterable[tuple[tuple[str, str], int]]
) -> dict[str, Depth]:
    """The depth of each queue that has unfinished jobs.

    `aside` counts the jobs that do not wait for a worker, by queue and state.
    """
    depths: dict[str, Depth] = {}
    for (queue, _), depth in by_type.items():
        depths.setdefault(queue, Depth()).add(depth)
    for (queue, state), count in aside:
        setattr(depths.setdefault(queue, Depth()), state, count)
    return depths
