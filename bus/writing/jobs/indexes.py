"""Indexes of all unfinished jobs: the order of due ones, deadlines, keys, and jobs that wait for others.

Owned by the writer's thread and fed with every change of a job, in both directions: a command that fails is
undone by feeding its changes backwards. A row that was lost or tampered with may have left a job out of them:
what is not known is removed without a word, and a rebuild of the tables brings it back.
"""

from collections.abc import Callable, Iterable

import msgspec

from bus.writing.jobs.awaited_groups import HELD, AwaitedGroups
from bus.writing.jobs.dependents import Dependents
from bus.writing.jobs.depth import Depth, depth_by_queue
from bus.writing.jobs.due import DueJobs
from bus.writing.jobs.lane import WaitingJob
from bus.writing.jobs.throttles import Throttles
from bus.writing.jobs.unique import UniqueJobs
from domain.jobs import Job
from domain.jobs.groups import AwaitedGroup, GroupCounts
from domain.jobs.state import FINISHED, WAITING
from domain.rate_limits.job_calls import JobBudget
from domain.rate_limits.state import RateLimit

# The deadline of a running job whose row has none: a row changed by hand must not end an attempt.
NEVER = 2**62


class OpenJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An unfinished job as its row has it: what the indexes are filled with at a start."""

    id: str
    type: str
    priority: int
    queue: str
    state: str
    run_at: int
    created_position: int
    deadline_at: int | None = None
    unique_key: str | None = None
    waiting_for: tuple[str, ...] = ()
    on_dependency_failure: str = "cancel"
    budget: JobBudget | None = None
    after_group: AwaitedGroup | None = None


class JobIndexes:
    """The order of due jobs, the deadlines of attempts, the keys in use, and jobs that wait for others.

    Filled with the unfinished jobs, and the ended ones that they wait for, each with whether it failed; and
    with the rate limits that have a wait. `stored_group` counts the jobs of a group in the tables.
    """

    def __init__(
        self,
        open_jobs: Iterable[OpenJob] = (),
        ended: Iterable[tuple[str, bool]] = (),
        throttled: Iterable[RateLimit] = (),
        stored_group: Callable[[str], GroupCounts] = lambda _: GroupCounts(),
    ) -> None:
        self.due = DueJobs()
        self.deadlines: dict[str, int] = {}
        # How many unfinished jobs do not wait for a worker, by queue and state.
        self._aside: dict[tuple[str, str], int] = {}
        self.unique = UniqueJobs()
        self.dependents = Dependents()
        self.groups = AwaitedGroups(stored_group)
        self.throttles = Throttles(throttled)
        for job in open_jobs:
            self._add(job)
        self.dependents.ended.update(ended)

    def replace(self, old: Job | None, new: Job | None) -> None:
        """A job was `old`, and is `new` from now on."""
        if old is not None:
            self._remove(old)
        if new is not None:
            self._add(new)
            if self.dependents.is_awaited(new.id):
                self._note_end(new)
        either = new or old
        if either is not None and either.group_id is not None:
            states = (None if one is None else one.state for one in (old, new))
            self.groups.member_changed(either.group_id, *states)

    def limit_changed(self, key: str, known: RateLimit | None) -> None:
        """What is known of a rate limit is this from now on."""
        self.due.limit_changed(key)
        # Who waits longer than before is found when the time comes.
        account = self.throttles.replace(key, known)
        if account is not None:
            for limit in self.due.limits_of(account):
                self.due.limit_changed(limit)

    def depth_by_queue(self, now: int) -> dict[str, Depth]:
        """How many unfinished jobs each queue has; any thread may ask, and may see half of a command."""
        return depth_by_queue(self.due.all(), self._aside.copy().items(), now)

    def settle(self) -> None:
        """The open transaction is on disk, or was taken back."""
        self.unique.settle()
        self.groups.settle()

    def _note_end(self, job: Job) -> None:
        if job.state in FINISHED:
            self.dependents.ended[job.id] = job.state != "completed"
        else:
            self.dependents.ended.pop(job.id, None)

    def _add(self, job: Job | OpenJob) -> None:
        if job.state in WAITING:
            place = (job.id, job.queue, job.type, job.priority, job.run_at, job.created_position)
            budget = job.budget
            self.due.add(
                WaitingJob(*place) if budget is None else WaitingJob(*place, budget.key, budget.cost)
            )
        elif job.state not in FINISHED:
            aside = (job.queue, job.state)
            self._aside[aside] = self._aside.get(aside, 0) + 1
            if job.state == "running":
                self.deadlines[job.id] = NEVER if job.deadline_at is None else job.deadline_at
        if job.unique_key is not None and job.state not in FINISHED:
            self.unique.add(job.unique_key, job.id, job.created_position)
        if job.waiting_for and job.state not in FINISHED:
            self.dependents.add(
                job.id, job.created_position, job.waiting_for, patient=job.on_dependency_failure == "wait"
            )
        if (awaited := _awaited_group(job)) is not None:
            self.groups.add(job.id, job.created_position, *awaited)

    def _remove(self, job: Job) -> None:
        if job.state in WAITING:
            self.due.remove(job.id)
        elif job.state not in FINISHED:
            place = (job.queue, job.state)
            if (left := self._aside.get(place, 0) - 1) > 0:
                self._aside[place] = left
            else:
                # Clients choose the names of queues, so empty ones must not stay.
                self._aside.pop(place, None)
            if job.state == "running":
                self.deadlines.pop(job.id, None)
        if job.unique_key is not None and job.state not in FINISHED:
            self.unique.remove(job.unique_key, job.id)
        if job.waiting_for and job.state not in FINISHED:
            self.dependents.remove(job.id, job.waiting_for, patient=job.on_dependency_failure == "wait")
        if (awaited := _awaited_group(job)) is not None:
            self.groups.remove(job.id, *awaited)


def _awaited_group(job: Job | OpenJob) -> tuple[str, tuple[str, str]] | None:
    """The group that a job waits for, and how."""
    awaited = job.after_group
    if awaited is None or awaited.met_at is not None or job.state not in ("blocked", "held"):
        return None
    return awaited.id, HELD if job.state == "held" else (awaited.when, job.on_dependency_failure)
