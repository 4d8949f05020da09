"""Indexes of all unfinished jobs: the order of due ones, deadlines, keys, and jobs that wait for others.

Owned by the writer's thread, and told of every change of a job. When a command fails, its changes are told
again, backwards. A job may be missing here if its row was lost or tampered with: to remove a job that is not
known does nothing, and a rebuild of the tables brings it back.
"""

from collections.abc import Callable, Iterable

import msgspec

from bus.writing.jobs.awaited_groups import HELD, AwaitedGroups
from bus.writing.jobs.counts import Begins, RunningJobs
from bus.writing.jobs.dependents import Dependents
from bus.writing.jobs.depth import Depth, TypeInQueue, depth_by_queue, depth_by_type
from bus.writing.jobs.due import DueJobs
from bus.writing.jobs.lane import Gate, WaitingJob
from bus.writing.jobs.throttles import Throttles
from bus.writing.jobs.unique import UniqueJobs
from domain.jobs import Job
from domain.jobs.groups import AwaitedGroup, GroupCounts
from domain.jobs.state import FINISHED, WAITING
from domain.limiting import CountedRate, JobConcurrency, JobRate
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
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None


class JobIndexes:
    """The order of due jobs, what their limits count, deadlines, keys in use, and jobs that wait for others.

    Filled with the unfinished jobs; with the ended jobs that they wait for, and whether each failed; with the
    rate limits that are throttled; and with the begins of attempts that rates count, the earliest first.
    `stored_group` counts the jobs of a group in the tables.
    """

    def __init__(
        self,
        open_jobs: Iterable[OpenJob] = (),
        ended: Iterable[tuple[str, bool]] = (),
        throttled: Iterable[RateLimit] = (),
        stored_group: Callable[[str], GroupCounts] = lambda _: GroupCounts(),
        began: Iterable[tuple[CountedRate, int]] = (),
    ) -> None:
        self.due = DueJobs()
        self.running = RunningJobs()
        self.begins = Begins(began)
        self.deadlines: dict[str, int] = {}
        # How many unfinished jobs do not wait for a worker, by queue and state.
        self._aside: dict[tuple[str, str], int] = {}
        self.unique = UniqueJobs()
        self.dependents = Dependents()
        self.groups = AwaitedGroups(stored_group)
        self.throttles = Throttles(throttled)
        for job in open_jobs:
            self._add(job)
        self.groups.sort()
        self.dependents.ended.update(ended)

    def replace(self, old: Job | None, new: Job | None) -> None:
        """Notes that a job was `old`, and is `new` from now on."""
        attempts = 0 if old is None or new is None else new.attempt_position - old.attempt_position
        if old is not None:
            if new is not None and attempts > 0:
                self._begin(old, new)
            self._remove(old)
        if new is not None:
            self._add(new)
            if old is not None and attempts < 0:
                self._take_back(old, new)
            if self.dependents.is_awaited(new.id):
                self._note_end(new)
        either = new or old
        if either is not None and either.group_id is not None:
            states = (None if one is None else one.state for one in (old, new))
            self.groups.member_changed(either.group_id, *states)

    def limit_changed(self, key: str, known: RateLimit | None) -> None:
        """Notes the new state of a rate limit."""
        self.due.limit_changed(key)
        # A job that has to wait longer than before is found at the time when it would have gone on.
        account = self.throttles.replace(key, known)
        if account is not None:
            for limit in self.due.limits_of(account):
                self.due.limit_changed(limit)

    def depths(self, now: int) -> tuple[dict[str, Depth], dict[TypeInQueue, Depth]]:
        """How many unfinished jobs each queue has, and how many of each type wait there.

        Any thread may ask, and may see half of a command.
        """
        by_type = depth_by_type(self.due.all(), now)
        return depth_by_queue(by_type, self._aside.copy().items()), by_type

    def settle(self) -> None:
        """The open transaction is on disk, or was taken back."""
        self.unique.settle()
        self.groups.settle()
        self.due.settle()

    def running_in(self, queue: str) -> int:
        """How many jobs of a queue run."""
        return self._aside.get((queue, "running"), 0)

    def _begin(self, waiting: Job, running: Job) -> None:
        """Notes that an attempt begins."""
        self.due.handed_out(waiting.queue, _turn_of(waiting), waiting.id)
        for one in running.counted:
            self.begins.add(one, running.updated_at)

    def _take_back(self, running: Job, waiting: Job) -> None:
        """Takes back that an attempt has begun."""
        self.due.not_handed_out(waiting.queue, _turn_of(waiting), waiting.id)
        for one in running.counted:
            self.begins.remove(one)
            if one.key is not None:
                self.due.changed(("begins", one.key, one.window_ms))

    def _note_end(self, job: Job) -> None:
        if job.state in FINISHED:
            self.dependents.ended[job.id] = job.state != "completed"
        else:
            self.dependents.ended.pop(job.id, None)

    def _add(self, job: Job | OpenJob) -> None:
        if job.state in WAITING:
            self.due.add(_waiting(job))
        elif job.state not in FINISHED:
            aside = (job.queue, job.state)
            self._aside[aside] = self._aside.get(aside, 0) + 1
            if job.state == "running":
                self.deadlines[job.id] = NEVER if job.deadline_at is None else job.deadline_at
                if job.concurrency is not None:
                    self.running.add(job.concurrency.key)
        if job.unique_key is not None and job.state not in FINISHED:
            self.unique.add(job.unique_key, job.id, job.created_position)
        if job.waiting_for and job.state not in FINISHED:
            self.dependents.add(
                job.id, job.created_position, job.waiting_for, patient=job.on_dependency_failure == "wait"
            )
        if job.after_group is not None and (awaited := awaited_group(job)) is not None:
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
                if job.concurrency is not None:
                    self.running.remove(job.concurrency.key)
                    key = job.concurrency.key
                    self.due.changed(("running", key, 0), self.running.of(key))
        if job.unique_key is not None and job.state not in FINISHED:
            self.unique.remove(job.unique_key, job.id, job.created_position)
        if job.waiting_for and job.state not in FINISHED:
            self.dependents.remove(job.id, job.waiting_for, patient=job.on_dependency_failure == "wait")
        if job.after_group is not None and (awaited := awaited_group(job)) is not None:
            self.groups.remove(job.id, *awaited)


def _waiting(job: Job | OpenJob) -> WaitingJob:
    if job.budget is None and job.concurrency is None and job.rate is None:
        return WaitingJob(job.id, job.queue, job.type, job.priority, job.run_at, job.created_position)
    place = (job.id, job.queue, job.type, job.priority, job.run_at, job.created_position)
    cost = 1 if job.budget is None else job.budget.cost
    return WaitingJob(*place, _turn_of(job), _gates_of(job), cost)


def awaited_group(job: Job | OpenJob) -> tuple[str, tuple[str, str]] | None:
    """The group that a job waits for, if it waits for one, and its kind, as `AwaitedGroups` has it."""
    awaited = job.after_group
    if awaited is None or awaited.met_at is not None or job.state not in ("blocked", "held"):
        return None
    return awaited.id, HELD if job.state == "held" else (awaited.when, job.on_dependency_failure)


def _turn_of(job: Job | OpenJob) -> str | None:
    """The key whose turn the job takes; `None` for jobs without one, which share a turn."""
    return None if job.concurrency is None else job.concurrency.key


def _gates_of(job: Job | OpenJob) -> tuple[Gate, ...]:
    """The limits that a job has to pass, the narrowest first."""
    gates = []
    if job.concurrency is not None and job.concurrency.limit is not None:
        gates.append(Gate("running", job.concurrency.key, job.concurrency.limit))
    if job.rate is not None:
        gates.append(Gate("begins", job.rate.key, job.rate.limit, job.rate.window_ms))
    if job.budget is not None:
        gates.append(Gate("calls", job.budget.key))
    return tuple(gates)
