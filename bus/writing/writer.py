"""The single writer: everything that waits becomes one transaction, with one time, one commit and one fsync.

    submit ──▶ waiting ──▶ [ group: decide, evolve ─▶ events, rows, answers ─▶ COMMIT ] ──▶ outcomes

It runs in a thread of its own, which owns the connection, the states and the head of the log. Nothing is
answered before the commit is on disk; what waits while a commit runs forms the next group, so there is no
timer and no delay when idle. One command's failure never fails its neighbours; a commit's failure fails all.

The thread has an event loop, in which may live whatever brings commands and sends answers: then nothing is
handed from thread to thread on a command's way. It stands still for a quick commit; for a slow one, and for
errands, it has another thread, so that messages are read and decoded meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import apsw

from bus.incident import internal
from bus.log import chain
from bus.log.answers import Answers
from bus.log.damage import Damage
from bus.log.page_cache import read_page_cache
from bus.writing.aggregates import Aggregates
from bus.writing.content import Replication
from bus.writing.group import Group
from bus.writing.group_context import Projections
from bus.writing.group_size import GROUP_COMMANDS, limit_after
from bus.writing.job_indexes import JobIndexes
from bus.writing.loop_thread import LoopThread
from bus.writing.statistics import Statistics, Work
from bus.writing.submission import Commit, GroupTimes, Submission, all_refused, count_refused, joined, refuse
from bus.writing.upkeep import Upkeep, expiries
from bus.writing.waiting import BUSY_AFTER_MS, Waiting, not_ours, shutting_down
from domain.credentials.scanning import AllowedPaths
from domain.decider import Lease
from domain.errors import Unavailable
from migrations.connection import BUSY_TIMEOUT_MS, write_transaction

# A commit has another thread if the last one took longer: the disk may have stopped. To hand over each would
# cost a command 3 µs of the processor's time, and one that is alone 100.
QUICK_COMMIT_SECONDS = 0.1
# How long is read between two groups, while what comes has waited at the broker: more comes then than one
# reading takes, and to refuse it takes a fraction of what a group does.
READING_SECONDS = 0.02
# How often a lock is tried that another program has.
LOCK_PAUSE_SECONDS = 0.01
# How often upkeep is looked for: above all, this is how soon an expired lease leads to a rescue.
UPKEEP_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Writer:
    """The thread that writes. `on_commit` is called there, once a group; it answers, and returns soon.

    `thread` carries out what others have for its loop, from the start to the end of the writer.

    `clock` answers with milliseconds since the epoch. `prune_after_ms` says how long ago jobs that ended in
    a state have ended when they are archived; those of other states stay. `allowed_secrets` is where what
    looks like a credential is stored all the same. `is_ours` says whether the store is this service's to
    write: while it is not, every command is answered `unavailable`. Commands that would wait longer than
    `busy_after_ms` are refused; whoever takes them in asks the `queue`. `damage` is told what is met.
    `replication` has each group before it is committed.
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
        self._replication = replication
        self._connection = connection
        self._is_ours = is_ours
        self._projections = projections
        self._on_commit = on_commit
        self._clock = clock
        self._allowed_secrets = allowed_secrets or AllowedPaths()
        self._aggregates = Aggregates(connection, capacity=cache_capacity, maximum_bytes=cache_bytes)
        self._answers = Answers(connection)
        self.thread = LoopThread("writer")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self.queue = Waiting(self.thread.wake, busy_after_ms)
        self._group_limit = GROUP_COMMANDS
        self._commit_seconds = 0.0
        self.statistics = Statistics()
        self.head = chain.read_head(connection)
        self.timeline = _timeline(connection)
        self._upkeep = Upkeep(
            self._aggregates,
            lambda state, ended_until, limit: projections.ended_jobs(connection, state, ended_until, limit),
            prune_after_ms or {},
        )
        self._next_upkeep = 0.0

    def start(self) -> None:
        """Takes in what waits and which leases are out, and begins to serve."""
        now = self._now()
        # Workers could not reach us while we were away: each lease gets one full length.
        leases = [
            Lease(
                job_id=row[0],
                token=row[1],
                worker=row[2],
                lease_ms=row[3],
                expires_at=max(row[4], now + row[3]),
            )
            for row in self._connection.execute(
                "SELECT job_id, token, worker, lease_ms, expires_at FROM job_leases"
            )
        ]
        self.reload()
        self._aggregates.leases = {one.job_id: one for one in leases}
        self._upkeep.began_at = now
        # A running job without a lease: its lease was lost with a restore.
        self._upkeep.orphans = set(self._aggregates.jobs.deadlines) - set(self._aggregates.leases)
        self._connection.set_busy_handler(self._is_waited_for)
        self.thread.start(self._serve())

    def reload(self) -> None:
        """Takes in anew what is to be done, as after a repair; between two groups."""
        self._aggregates.jobs = JobIndexes(
            self._projections.open_jobs(self._connection),
            self._projections.ended_dependencies(self._connection),
        )
        self._aggregates.next_runs = dict(self._projections.next_runs(self._connection))

    def stop(self) -> None:
        """Ends after the open transaction and all that waits; blocks until then."""
        self.queue.close()
        self.thread.join()

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return self.queue.commands

    @property
    def work(self) -> Work:
        """How much there is; counts that may be from between two commands."""
        jobs = self._aggregates.jobs
        return Work(
            waiting_jobs=len(jobs.due),
            running_jobs=len(jobs.deadlines),
            hot_aggregates=self._aggregates.hot_count,
        )

    @property
    def is_alive(self) -> bool:
        """Whether the thread is there that writes."""
        return self.thread.is_alive

    @property
    def stalled_seconds(self) -> float:
        """For how long it has been at one group, errand or message, as far as was looked since then."""
        busy_since = self.statistics.busy_since
        busy_seconds = 0.0 if busy_since is None else time.monotonic() - busy_since
        return max(busy_seconds, self.thread.silent_seconds)

    def try_again(self) -> None:
        """After a commit that failed, finds out whether the store can be written now."""

        def tried(result: Any) -> None:
            if not isinstance(result, Exception):
                self.statistics.last_failure = None

        self.call(_write_something, tried)

    def submit(self, submissions: list[Submission]) -> list[Submission]:
        """Queues what there is room for, in order, and answers with what was refused.

        Those have their outcome set: `busy`, or `unavailable` while shutting down.
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
            with self._disk:
                await self._write()
        finally:
            # Also after a defect: nobody is to wait for a writer that is gone.
            self.queue.close()

    async def _write(self) -> None:
        while True:
            self.statistics.busy_since = None
            if self.queue or self._upkeep.has_more:
                # Messages are read between two groups: the broker gives up whoever reads none for long.
                await self.thread.give_turns(READING_SECONDS, while_true=self.queue.was_read_late)
            elif not self.queue.is_closed:
                await self.thread.rest(UPKEEP_SECONDS)
            self.statistics.busy_since = time.monotonic()
            stopping = self.queue.is_closed
            group, errands = self.queue.take(self._group_limit)
            for errand, done in errands:
                done(await self._on_disk(self._run_errand, errand))
            if errands:
                self.queue.errands_are_done()
            if not stopping:
                # Upkeep might be much, and can wait for the next start.
                self._add_upkeep(group)
            if group:
                self._on_commit(await self._commit(group))
            elif stopping:
                return

    async def _on_disk(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def _run_errand(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        try:
            with write_transaction(self._connection):
                return errand(self._connection)
        except Exception as error:  # it goes to the sender of the errand
            self._damage.note(error, "the writer")
            return error

    def _add_upkeep(self, group: list[Submission]) -> None:
        """Adds what the service does of its own accord."""
        if time.monotonic() < self._next_upkeep and not self._upkeep.has_more:
            return
        self._next_upkeep = time.monotonic() + UPKEEP_SECONDS
        try:
            now = self._now()
            group.extend(self._upkeep.commands(now))
            group.extend(expiries(self._projections, self._connection, now))
            self.statistics.upkeep_failure = None
            self.statistics.cache = read_page_cache(self._connection)
        # The rows that it reads may be damaged; the thread that everybody waits for goes on.
        except Exception as error:
            self._damage.note(error, "the writer")
            if self.statistics.upkeep_failure is None:
                logger.exception("what is to be done of the service's own accord could not be found")
            self.statistics.upkeep_failure = str(error) or type(error).__name__

    async def _commit(self, submissions: list[Submission]) -> Commit:
        group = Group(
            self._aggregates,
            self._projections,
            self._connection,
            self._answers,
            self.head,
            self._now(),
            self.timeline,
            self._allowed_secrets,
        )
        rows: list[chain.Row] = []
        is_replicated = False
        began = committing = time.perf_counter()
        try:
            self._require_ours()
            await self._begin_transaction()
            group.decide(submissions)
            content = group.write()
            rows = content.rows
            committing = time.perf_counter()
            self._require_ours()
            if self._replication is not None and content:
                await self._replication.store(content)
                is_replicated = True
            await self._end_transaction()
        except Exception as error:  # the thread that everybody waits for must outlive even a defect here
            if not self._is_stored(rows):
                if is_replicated and self._replication is not None:
                    self._replication.not_committed()
                return await self._failed(submissions, error, is_replicated=is_replicated)
            logger.warning("a group of commands was stored, although its commit reported: %s", error)
        self._aggregates.settle()
        self._answers.settle()
        if rows:
            last = rows[-1]
            self.head = chain.Head(last.position, last.hash, last.recorded_at)
        times = GroupTimes(began, committing, time.perf_counter())
        self.statistics.count(group, len(rows), times)
        self._group_limit = limit_after(group.commands, times)
        if rows:
            self._commit_seconds = times.committed - times.decided
        if not self._is_ours():
            # It is stored here, and perhaps not where somebody serves now.
            refuse(submissions, not_ours(outcome="unknown"))
        return Commit(submissions, rows, group.notices, group.new_answers, group.let_through, times)

    async def _begin_transaction(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            # Another program has the store's lock. Messages are read while this one waits for it.
            await self._on_disk(self._connection.execute, "BEGIN IMMEDIATE")

    def _is_waited_for(self, attempts: int) -> bool:
        """Whether a lock of another program is tried again: `BUSY_TIMEOUT_MS` long, never in the loop."""
        if self.thread.is_current or attempts * LOCK_PAUSE_SECONDS * 1_000 >= BUSY_TIMEOUT_MS:
            return False
        time.sleep(LOCK_PAUSE_SECONDS)
        return True

    async def _end_transaction(self) -> None:
        if self._commit_seconds <= QUICK_COMMIT_SECONDS:
            self._connection.execute("COMMIT")
        else:
            await self._on_disk(self._connection.execute, "COMMIT")

    def _is_stored(self, rows: list[chain.Row]) -> bool:
        # A commit may report a failure behind it, in a WAL checkpoint. If its rows were taken for not stored,
        # every later group would collide with them; so would it with answers.
        if self._connection.in_transaction:
            return False
        try:
            if rows:
                return chain.read_head(self._connection).hash == rows[-1].hash
            return self._answers.are_stored()
        except apsw.Error:
            return False

    def _require_ours(self) -> None:
        if not self._is_ours():
            raise not_ours()

    async def _failed(
        self, submissions: list[Submission], error: Exception, *, is_replicated: bool = False
    ) -> Commit:
        self._damage.note(error, "the writer")
        if not isinstance(error, Unavailable):
            logger.error("a group of commands was not stored: %s", error)
            self.statistics.failed_commits += 1
            self.statistics.last_failure = str(error)
        self._aggregates.undo_all()
        self._rollback()
        self._upkeep.take_back(submissions)
        if isinstance(error, apsw.Error):
            # A commit whose fsync failed stands in the WAL as a whole. SQLite passes over it, but the
            # recovery after a crash would not: commands that were answered as not stored would be there.
            # Another commit takes its place.
            await self._on_disk(self._run_errand, _write_something)
            error = Unavailable(
                "the store could not be written; nothing was stored", hint="try again", retry_after_ms=1_000
            )
        if is_replicated:
            # The log has it, so it will be done, here or where somebody else leads.
            error = not_ours(outcome="unknown")
        if isinstance(error, Unavailable):
            # Those that must only be decided behind some that failed.
            followers = self.queue.take_in_order() if any(one.in_order for one in submissions) else []
            every = [*submissions, *followers]
            count_refused(self.statistics.outcomes, every, error.code)
            return all_refused(every, error)
        if len(submissions) > 1:
            return joined([await self._commit([one]) for one in submissions])
        defect = internal(logger, "a group of commands could not be stored", error)
        count_refused(self.statistics.outcomes, submissions, defect.code)
        return all_refused(submissions, defect)

    def _rollback(self) -> None:
        # Some failures have rolled back already. If the rollback fails, so does the next BEGIN.
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    def _now(self) -> int:
        return max(self._clock(), self.head.recorded_at)


def _write_something(connection: apsw.Connection) -> None:
    # An UPDATE to the same value writes nothing; this writes a page.
    connection.pragma("user_version", connection.pragma("user_version"))


def _timeline(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT max(timeline) FROM timelines").get or 1)
