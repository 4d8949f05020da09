"""Which job is next: the waiting jobs of every queue, in memory, in the order of handing out."""

import heapq
from collections.abc import Iterable, Mapping
from typing import TypeVar

from bus.writing.jobs.budgeted import BudgetedLanes, Permits
from bus.writing.jobs.lane import DueEntry, Lane, WaitingJob
from domain.rate_limits.job_calls import Account, accounts_over

# How many jobs of others one search passes over. Who shares a queue with so many wants one of its own.
MAXIMUM_PASSED_OVER = 10_000
# When to ask again where jobs wait for what nobody can foresee: for an attempt to end, say.
ASK_AGAIN_MS = 1_000

Kind = TypeVar("Kind")


class DueJobs:
    """Waiting jobs by queue and type. Owned by the writer's thread."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, Lane]] = {}
        self._budgeted: dict[str, dict[str, BudgetedLanes]] = {}
        # The same lanes by the limits that their jobs draw on.
        self._by_limit: dict[str, dict[tuple[str, str], BudgetedLanes]] = {}
        # Those limits by the accounts whose waits hold them up.
        self._by_account: dict[Account, dict[str, None]] = {}
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
        if job.limit is not None:
            kinds = self._budgeted.setdefault(job.queue, {})
            budgeted = kinds.get(job.type)
            if budgeted is None:
                budgeted = kinds[job.type] = BudgetedLanes(self._by_id)
            budgeted.add(job, job.limit)
            if job.limit not in self._by_limit:
                self._by_limit[job.limit] = {}
                for account in accounts_over(job.limit):
                    self._by_account.setdefault(account, {})[job.limit] = None
            self._by_limit[job.limit][job.queue, job.type] = budgeted
            return
        lanes = self._queues.get(job.queue)
        if lanes is None:
            lanes = self._queues[job.queue] = {}
        lane = lanes.get(job.type)
        if lane is None:
            lane = lanes[job.type] = Lane(self._by_id)
        lane.add(job)

    def remove(self, job_id: str) -> None:
        """From now on the job does not wait; nothing happens if it did not."""
        job = self._by_id.pop(job_id, None)
        if job is None:
            return
        # Clients choose the names of types, queues and limits, so empty ones must not stay.
        if job.limit is not None:
            self._remove_budgeted(job, job.limit)
            return
        lanes = self._queues[job.queue]
        lanes[job.type].remove()
        if not lanes[job.type].count:
            del lanes[job.type]
        if not lanes:
            del self._queues[job.queue]

    def _remove_budgeted(self, job: WaitingJob, limit: str) -> None:
        kinds = self._budgeted[job.queue]
        if kinds[job.type].remove(limit):
            return
        del self._by_limit[limit][job.queue, job.type]
        if not self._by_limit[limit]:
            del self._by_limit[limit]
            for account in accounts_over(limit):
                del self._by_account[account][limit]
                if not self._by_account[account]:
                    del self._by_account[account]
        if not kinds[job.type]:
            del kinds[job.type]
        if not kinds:
            del self._budgeted[job.queue]

    def next(
        self,
        queue: str,
        types: Iterable[str] | None,
        limit: int,
        now: int,
        keys: tuple[str, ...] = (),
        permits: Permits | None = None,
    ) -> list[str]:
        """At most `limit` ids of due jobs: higher priority first, then earlier `run_at`, then position.

        With `keys`, only ids that begin with one of them; of others, `MAXIMUM_PASSED_OVER` are looked at.
        Jobs that draw on a rate limit are among them as far as `permits` goes.
        """
        lanes = _chosen(self._queues.get(queue), types)
        budgeted = [] if permits is None else _chosen(self._budgeted.get(queue), types)
        taken: list[tuple[Lane, DueEntry]] = []
        ids: list[str] = []
        while len(ids) < limit and len(taken) < limit + MAXIMUM_PASSED_OVER:
            found = [(entry, lane) for lane in lanes if (entry := lane.best(now)) is not None]
            if permits is not None:
                found += [best for one in budgeted if (best := one.best(now, permits)) is not None]
            best = min(found, key=lambda pair: pair[0][:3], default=None)
            if best is None:
                break
            entry, lane = best
            heapq.heappop(lane.due)
            taken.append((lane, entry))
            job = entry[-1]
            is_own = not keys or job.id.startswith(keys)
            if is_own:
                ids.append(job.id)
            if permits is not None and job.limit is not None:
                permits.took(job, is_own=is_own)
        # They are only looked at here; the caller takes them out with `remove`, and perhaps not all of them.
        for lane, entry in taken:
            heapq.heappush(lane.due, entry)
        for drawn_on in {entry[-1].limit: None for _, entry in taken if entry[-1].limit is not None}:
            # Jobs of other types may be held on account of these alone.
            self.limit_changed(drawn_on)
        return ids

    def held_until(self, queue: str, types: Iterable[str] | None, now: int) -> int | None:
        """When to ask again where due jobs wait for calls of a limit; `None` where none does.

        That is when the first of them has calls again, or when another job is due before. As far as `next`
        has found out.
        """
        types = None if types is None else list(types)
        budgeted = _chosen(self._budgeted.get(queue), types)
        held = [one.held_until(now + ASK_AGAIN_MS) for one in budgeted]
        first = min((moment for moment in held if moment is not None), default=None)
        if first is None:
            return None
        to_come = [one.next_run_at() for one in budgeted]
        to_come += [one.next_run_at() for one in _chosen(self._queues.get(queue), types)]
        return max(now, min([first, *(moment for moment in to_come if moment is not None)]))

    def limits(self) -> list[str]:
        """The rate limits that jobs wait for, or will draw on."""
        return list(self._by_limit)

    def limits_of(self, account: Account) -> list[str]:
        """Those of them whose calls wait while the ones of an account do."""
        return list(self._by_account.get(account, ()))

    def limit_changed(self, limit: str) -> None:
        """What is known of a rate limit is another thing: the jobs that wait for it are looked at again."""
        for lanes in self._by_limit.get(limit, {}).values():
            lanes.look_at(limit)


def _chosen(lanes: Mapping[str, Kind] | None, types: Iterable[str] | None) -> list[Kind]:
    """The lanes of these types of job; of all, where none is named."""
    if not lanes:
        return []
    return list(lanes.values()) if types is None else [lanes[one] for one in set(types) if one in lanes]
