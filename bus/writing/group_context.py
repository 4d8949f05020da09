"""`GroupContext`: what a decision may look up beside its own state, in the writer's open transaction."""

import random
from collections.abc import Iterable, Iterator, Set
from itertools import islice
from typing import Any, Protocol

import apsw

from bus.log.states import read_aggregate
from bus.writing.aggregates import Aggregates
from bus.writing.cron import cron_time
from bus.writing.jobs.indexes import OpenJob, awaited_group
from bus.writing.jobs.permits import ClaimPermits
from domain.decider import Aggregate, Due, Lease, Transition
from domain.jobs import TABLE as JOBS
from domain.jobs import Job
from domain.jobs.commands import Claim
from domain.jobs.groups import GroupCounts
from domain.jobs.many import Search
from domain.jobs.state import FINISHED, STATES
from domain.json_schema import Budget
from domain.limiting import CountedRate
from domain.rate_limits import TABLE as RATE_LIMITS
from hyperpage_client.identifiers import new_ids

# How many jobs beyond its limit a search counts.
MAXIMUM_COUNTED = 10_000
# How many jobs are read at once for claims that take them one by one.
READ_TOGETHER = 64
UNFINISHED = STATES - FINISHED


# The place of an ended job in the index that is looked through: when it ended, its queue, its rowid. Of an
# expired result: when it expired, nothing, the rowid of its job.
Place = tuple[int, str, int]
FRONT: Place = (0, "", 0)
# The id of a job, its group, and its place.
PlacedJob = tuple[str, str | None, Place]


class Projections(Protocol):
    """The tables that follow the log, kept current inside the writer's transaction."""

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        """Brings the tables up to date with a group's events."""

    def require_row(self, table: str, key: str, aggregate: Aggregate) -> None:
        """Returns if the row of an aggregate fits its table; raises otherwise."""

    def listed_row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        """The row of an aggregate as `list` answers it; `None` where there is nothing."""

    def open_jobs(self, connection: apsw.Connection) -> Iterator[OpenJob]:
        """Every unfinished job, as the tables have it."""

    def ended_dependencies(self, connection: apsw.Connection) -> Iterator[tuple[str, bool]]:
        """The finished jobs that others wait for, as the tables have it, and whether they failed."""

    def group_states(self, connection: apsw.Connection, group_id: str) -> Iterator[tuple[str, int]]:
        """How many jobs of a group are in each state, as the tables have it."""

    def ended_jobs(
        self, connection: apsw.Connection, state: str, ended_until: int, behind: Place, limit: int
    ) -> Iterator[PlacedJob]:
        """At most `limit` jobs that ended in a state, those behind a place, as the tables have it."""

    def expired_results(
        self, connection: apsw.Connection, now: int, behind: Place, limit: int
    ) -> Iterator[PlacedJob]:
        """At most `limit` completed jobs whose results are kept no longer, those behind a place."""

    def throttled_limits(self, connection: apsw.Connection, now: int) -> Iterator[str]:
        """The keys of rate limits that are throttled still, as the tables have it."""

    def next_runs(self, connection: apsw.Connection) -> Iterator[tuple[str, int]]:
        """Every schedule that makes jobs, with the time of its next run, as the tables have it."""

    def matching_jobs(
        self, connection: apsw.Connection, search: Search, limit: int
    ) -> Iterator[tuple[int, str]]:
        """At most `limit` jobs that match, as the tables have it: `created_position` and id, in order."""

    def expired(self, connection: apsw.Connection, now: int, limit: int) -> list[tuple[str, str]]:
        """Aggregates that have expired, by table and key, as the tables have it; `limit` of each table."""

    def unique_jobs(
        self, connection: apsw.Connection, key: str, states: Set[str], created_since: int
    ) -> Iterator[str]:
        """The ids of jobs with a unique key, the newest first, as the tables have it."""


class GroupContext:
    """The domain's context for the commands of one group. Each sees the changes of those before it.

    `aggregates` keeps small things in memory. Others are read from the tables, and corrected by the changes
    of the open transaction.
    """

    def __init__(
        self,
        aggregates: Aggregates,
        projections: Projections,
        connection: apsw.Connection,
        now: int,
        answer_bytes_left: int,
    ) -> None:
        self._aggregates = aggregates
        self._projections = projections
        self._connection = connection
        self._ids = new_ids(now)
        self.now = now
        self.answer_bytes_left = answer_bytes_left
        # The budget of the batch that is decided now. A command outside of a batch has one of its own.
        self._work: Budget | None = None
        # The prefixes of the keys that the sender of the command may use; without any, it may use all.
        self.keys: tuple[str, ...] = ()

    @property
    def work(self) -> Budget:
        return self._work or Budget()

    def new_id(self) -> str:
        return next(self._ids)

    def new_key(self) -> str:
        return f"{self.keys[0] if self.keys else ''}{self.new_id()}"

    random = staticmethod(random.random)

    def state(self, table: str, key: str) -> Any:
        return self._aggregates.get(table, key).state

    def state_at(self, table: str, key: str, version: int) -> Any:
        current = self._aggregates.get(table, key)
        if version > current.version:
            return None
        if version == current.version:
            return current.state
        for one in reversed(self._aggregates.journal):
            # A version of this very transaction is not in the table yet.
            if (one.table, one.key, one.after.version) == (table, key, version):
                return one.after.state
        return read_aggregate(self._connection, table, key, up_to_version=version).state

    def note_claim(self, claim: Claim) -> None:
        self._aggregates.workers.note(
            claim.worker, claim.queue, claim.types, self.now, host=claim.host, version=claim.version
        )

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> Due:
        due = self._aggregates.jobs.due
        ids = due.next(queue, types, limit, self.now, self.keys, self._permits())
        are_fewer = len(ids) < limit
        retry_at = due.held_until(queue, types, self.now) if are_fewer else None
        waits_for_ends = are_fewer and due.waits_for_ends(queue, types)
        if not all(self._aggregates.is_hot(JOBS, job_id) for job_id in ids):
            # If many jobs wait, those that have waited longest are not in memory any more.
            following = max(limit, READ_TOGETHER)
            self._aggregates.read_ahead(
                JOBS, due.next(queue, types, following, self.now, self.keys, self._permits())
            )
        jobs = [self._aggregates.get(JOBS, job_id).state for job_id in ids]
        return Due(jobs, retry_at, waits_for_ends)

    def running_in(self, queue: str) -> int:
        return self._aggregates.jobs.running_in(queue)

    def rate_room(self, counted: CountedRate, limit: int) -> tuple[int, int]:
        return self._aggregates.jobs.begins.room(counted, limit, self.now)

    def _permits(self) -> ClaimPermits:
        jobs = self._aggregates.jobs
        return ClaimPermits(
            lambda limit: self.state(RATE_LIMITS, limit),
            jobs.throttles.until,
            jobs.running,
            jobs.begins,
            self.now,
        )

    def unique_jobs(self, key: str, states: Set[str], created_since: int, limit: int) -> list[Job]:
        known = self._with_key(self._aggregates.jobs.unique.newest_first(key), key, states, created_since)
        found = list(islice(known, limit))
        # Finished jobs are not in memory: an index of their table finds them.
        if states <= UNFINISHED:
            return found
        ids = self._projections.unique_jobs(self._connection, key, states, created_since)
        found += islice(self._with_key(ids, key, states, created_since), limit)
        by_id = {job.id: job for job in found}
        return sorted(by_id.values(), key=lambda job: job.created_position, reverse=True)[:limit]

    def _with_key(self, ids: Iterable[str], key: str, states: Set[str], created_since: int) -> Iterator[Job]:
        """The jobs among `ids`, the newest first, that fit the other arguments in the open transaction."""
        for job_id in ids:
            job: Job | None = self._aggregates.get(JOBS, job_id).state
            if job is None or job.unique_key != key:
                continue
            if job.created_at < created_since:
                return
            if job.state in states and self._is_own(job_id):
                yield job

    def _is_own(self, key: str) -> bool:
        return not self.keys or key.startswith(self.keys)

    def dependents(self, job_id: str, limit: int, *, failed: bool) -> list[Job]:
        known = self._aggregates.jobs.dependents
        ids = known.first(job_id, limit, failed=failed) if known.is_awaited(job_id) else []
        states = (self._aggregates.get(JOBS, waiting).state for waiting in ids)
        # At the start, a row that was made by no event may have been taken for a job.
        return [job for job in states if job is not None and job_id in job.waiting_for]

    def group_counts(self, group_id: str) -> GroupCounts:
        return self._aggregates.jobs.groups.counts(group_id)

    def is_awaited(self, group_id: str) -> bool:
        return self._aggregates.jobs.groups.is_awaited(group_id)

    def followers(self, group_id: str, counts: GroupCounts, limit: int) -> list[Job]:
        known = self._aggregates.jobs.groups
        jobs: list[Job] = []
        for job_id in known.first(group_id, counts, limit):
            job: Job | None = self._aggregates.get(JOBS, job_id).state
            awaited = None if job is None else awaited_group(job)
            if job is not None and awaited is not None and awaited[0] == group_id:
                jobs.append(job)
            else:
                # A wrong entry must not take the place of a job that does wait.
                known.forget(job_id, group_id)
        return jobs

    def matching_jobs(self, search: Search, limit: int) -> tuple[list[Job], int]:
        # The tables do not have the changes of this transaction yet.
        changed = {one.key for one in self._aggregates.journal if one.table == JOBS}
        stored = self._projections.matching_jobs(
            self._connection, search, limit + MAXIMUM_COUNTED + len(changed)
        )
        found = [
            (position, job_id)
            for position, job_id in stored
            if job_id not in changed and self._is_own(job_id)
        ]
        for job_id in changed:
            job: Job | None = self._aggregates.get(JOBS, job_id).state
            if job is not None and search.matches(job) and self._is_own(job_id):
                found.append((job.created_position, job_id))
        found.sort()
        states = (self._aggregates.get(JOBS, job_id).state for _, job_id in found[:limit])
        jobs = [job for job in states if job is not None and search.matches(job)]
        return jobs, min(max(0, len(found) - limit), MAXIMUM_COUNTED)

    cron_time = staticmethod(cron_time)

    def lease(self, job_id: str) -> Lease | None:
        return self._aggregates.leases.get(job_id)
