"""The single writer: all waiting commands become one transaction, with one time, one commit and one fsync.

    submit ──▶ waiting ──▶ [ group: decide, evolve ─▶ events, rows, answers ─▶ COMMIT ] ──▶ outcomes

It runs in a thread of its own, which owns the connection, the states and the head of the log. Nothing is
answered before the commit is on disk. Commands that come while a commit runs form the next group, so there is
no timer and no delay when idle. A command that fails never fails the others; a commit that fails, fails all.

The thread has an event loop. The code that receives commands and sends answers may run in it, too: then no
command is handed from thread to thread. The loop stands still for a quick commit. A slow commit or an errand
runs in another thread, so that messages are read and decoded meanwhile.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import apsw
import msgspec

from bus.log import chain
from bus.log.begins import counted_begins
from bus.log.damage import Damage
from bus.log.page_cache import read_page_cache
from bus.writing.aggregates import Aggregates
from bus.writing.checkpoints import Checkpoints
from bus.writing.content import Replication, read_leases
from bus.writing.group_commits import GroupCommits
from bus.writing.group_context import Projections
from bus.writing.jobs.depth import Depth, TypeInQueue
from bus.writing.jobs.indexes import JobIndexes
from bus.writing.loop_thread import LoopThread
from bus.writing.statistics import Statistics
from bus.writing.submission import Commit, Submission
from bus.writing.transactions import Transactions, write_something
from bus.writing.upkeep import Upkeep
from bus.writing.waiting import BUSY_AFTER_MS, Waiting, shutting_down
from domain.credentials.scanning import AllowedPaths
from domain.jobs.groups import counts_of
from domain.jobs.workers import SeenWorker
from domain.rate_limits import TABLE as RATE_LIMITS

# How long messages are read between two groups while new ones have waited at the broker: there are more than
# one reading takes then, and to refuse them takes a fraction of what a group does.
READING_SECONDS = 0.02
# How often upkeep is looked for: above all, this is how soon an expired lease leads to a rescue.
UPKEEP_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Writer:
    """The thread that writes. `on_commit` is called there, once a group; it sends answers, and returns soon.

    `thread` runs coroutines of other threads in its loop, from the start to the end of the writer.

    `clock` answers with milliseconds since the epoch. `prune_after_ms` says, by state, how long after their
    end jobs are archived; those of other states stay. `allowed_secrets` are the places where a value that
    looks like a credential is stored all the same. `is_ours` says whether the store is this service's to
    write: while it is not, every command is answered `unavailable`. Commands that would wait longer than
    `busy_after_ms` are refused: the code that receives them asks `queue`. `damage` notes errors.
    `replication` stores each group before it is committed.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        projections: Projections,
        *,
        on_commit: Callable[[Commit], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        cache_capacity: int = 50_000,
        cache_bytes: int = 64 * 1024 * 1024,
        prune_after_ms: Mapping[str, int] | None = None,
        allowed_secrets: AllowedPaths | None = None,
        is_ours: Callable[[], bool] = lambda: True,
        busy_after_ms: int = BUSY_AFTER_MS,
        damage: Damage | None = None,
        replication: Replication | None = None,
    ) -> None:
        self._damage = damage or Damage()
        self._connection = connection
        self._projections = projections
        self._on_commit = on_commit
        self._aggregates = Aggregates(connection, capacity=cache_capacity, maximum_bytes=cache_bytes)
        self.thread = LoopThread("writer")
        self.queue = Waiting(self.thread.wake, busy_after_ms)
        self.statistics = Statistics()
        self._upkeep = Upkeep(
            self._aggregates,
            partial(projections.ended_jobs, connection),
            partial(projections.expired_results, connection),
            prune_after_ms or {},
            partial(projections.expired, connection),
        )
        self._next_upkeep = 0.0
        self._transactions = Transactions(connection, self.thread, self._damage)
        self._checkpoints = Checkpoints(connection, self._damage)
        self._commits = GroupCommits(
            connection,
            self._transactions,
            self._aggregates,
            projections,
            now_ms=clock,
            allowed_secrets=allowed_secrets or AllowedPaths(),
            is_ours=is_ours,
            replication=replication,
            statistics=self.statistics,
            queue=self.queue,
            upkeep=self._upkeep,
            damage=self._damage,
        )

    def start(self) -> None:
        """Reads the unfinished jobs and the present leases, and begins to serve."""
        now = self._commits.now()
        # Workers could not reach the service while it was down: each lease gets one full length.
        leases = [
            msgspec.structs.replace(one, expires_at=max(one.expires_at, now + one.lease_ms))
            for one in read_leases(self._connection)
        ]
        self.reload()
        self._aggregates.leases = {one.job_id: one for one in leases}
        self._upkeep.began_at = now
        # A running job without a lease: its lease was lost with a restore.
        self._upkeep.orphans = set(self._aggregates.jobs.deadlines) - set(self._aggregates.leases)
        self._transactions.wait_for_locks()
        self.thread.start(self._serve())

    def reload(self) -> None:
        """Reads the unfinished jobs and the schedules anew, as after a repair; between two groups."""
        self._aggregates.jobs = JobIndexes(
            self._projections.open_jobs(self._connection),
            self._projections.ended_dependencies(self._connection),
            filter(
                None,
                (
                    self._aggregates.get(RATE_LIMITS, key).state
                    for key in self._projections.throttled_limits(self._connection, self._commits.now())
                ),
            ),
            lambda group_id: counts_of(dict(self._projections.group_states(self._connection, group_id))),
            counted_begins(self._connection, self._commits.now(), self._damage),
        )
        self._aggregates.next_runs = dict(self._projections.next_runs(self._connection))

    def stop(self) -> None:
        """Ends after the open transaction and all waiting commands; blocks until then."""
        self.queue.close()
        self.thread.join()

    @property
    def head(self) -> chain.Head:
        """Where the log ends on disk."""
        return self._commits.head

    @property
    def timeline(self) -> int:
        """The timeline that is written on."""
        return self._commits.timeline

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return self.queue.commands

    @property
    def is_at_work(self) -> bool:
        """Whether a command or errand waits, or is not answered yet. Any thread may ask."""
        return bool(self.queue) or self.statistics.busy_since is not None

    @property
    def hot_aggregates(self) -> int:
        """How many states are in memory."""
        return self._aggregates.hot_count

    def depths(self, now: int) -> tuple[dict[str, Depth], dict[TypeInQueue, Depth]]:
        """How many unfinished jobs each queue has at a moment, and how many of each type wait there.

        Any thread may ask.
        """
        return self._aggregates.jobs.depths(now)

    def seen_workers(self) -> list[SeenWorker]:
        """The workers that have claimed jobs lately. Any thread may ask."""
        return self._aggregates.workers.all()

    @property
    def is_alive(self) -> bool:
        """Whether the writer's thread runs."""
        return self.thread.is_alive

    @property
    def stalled_seconds(self) -> float:
        """For how long the thread has been at one group, errand or message.

        The time of a message counts from the first read of this property since it began.
        """
        busy_since = self.statistics.busy_since
        busy_seconds = 0.0 if busy_since is None else time.monotonic() - busy_since
        return max(busy_seconds, self.thread.silent_seconds)

    def try_again(self) -> None:
        """After a commit that failed, finds out whether the store can be written now."""

        def tried(result: Any) -> None:
            if not isinstance(result, Exception):
                self.statistics.last_failure = None

        self.call(write_something, tried)

    def submit(self, submissions: list[Submission]) -> list[Submission]:
        """Queues what there is room for, in order, and answers with what was refused.

        The refused ones have their outcome set: `busy`, or `unavailable` while shutting down.
        """
        return self.queue.submit(submissions)

    def call(self, errand: Callable[[apsw.Connection], Any], done: Callable[[Any], None]) -> None:
        """Runs `errand` between two groups, in a transaction of its own; it may take long.

        `done` gets its result, or its exception, in the writer's thread. A writer that stops takes no errand:
        then `done` gets an `Unavailable` at once, in the caller's thread.
        """
        if not self.queue.add_errand((errand, done)):
            done(shutting_down())

    async def _serve(self) -> None:
        try:
            with self._checkpoints, self._transactions:
                await self._write()
        finally:
            # Also after a defect: no command is to wait for a writer that has ended.
            self.queue.close()

    async def _write(self) -> None:
        while True:
            self.statistics.busy_since = None
            if self.queue or self._upkeep.has_more:
                # Messages are read between two groups: the broker drops a client that reads none for long.
                await self.thread.give_turns(READING_SECONDS, while_true=self.queue.was_read_late)
            elif not self.queue.is_closed:
                await self.thread.rest(UPKEEP_SECONDS)
            self.statistics.busy_since = time.monotonic()
            stopping = self.queue.is_closed
            group, errands = self.queue.take(self._commits.group_limit)
            for errand, done in errands:
                done(await self._transactions.run(errand))
            if errands:
                self.queue.errands_are_done()
            if not stopping:
                # Upkeep might be much, and can wait for the next start.
                self._add_upkeep(group)
            if group:
                self._on_commit(await self._commits.commit(group))
                self._checkpoints.go_on()
            elif stopping:
                return

    def _add_upkeep(self, group: list[Submission]) -> None:
        """Adds the commands of upkeep that are due, if it is time to look for them."""
        if time.monotonic() < self._next_upkeep and not self._upkeep.has_more:
            return
        self._next_upkeep = time.monotonic() + UPKEEP_SECONDS
        group.extend(self._upkeep.commands(self._commits.now()))
        self.statistics.cache = read_page_cache(self._connection)
        failures = self._upkeep.failures
        for error in failures:
            self._damage.note(error, "the writer")
        if failures and self.statistics.upkeep_failure is None:
            logger.error(
                "what is to be done of the service's own accord could not be found", exc_info=failures[0]
            )
        self.statistics.upkeep_failure = _said(failures[0]) if failures else None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
