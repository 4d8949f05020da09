"""`GroupCommits`: each group of commands is stored as a whole, or refused as a whole.

    BEGIN ─▶ decide, evolve ─▶ rows, answers, leases ─▶ cluster's log ─▶ COMMIT ─▶ outcomes
               └───────────────┴─────── fails ────────┴──────┴──▶ ROLLBACK, states as before ─▶ `unavailable`

If a group fails by a defect, each of its submissions is decided again in a group of its own, so that the
others are stored.
"""

import logging
import time
from collections.abc import Callable

import apsw

from bus.incident import internal
from bus.log import chain
from bus.log.answers import Answers
from bus.log.damage import Damage
from bus.writing.aggregates import Aggregates
from bus.writing.content import Content, Replication, are_leases_stored
from bus.writing.group import Group
from bus.writing.group_context import Projections
from bus.writing.group_size import GROUP_COMMANDS, limit_after
from bus.writing.statistics import Statistics
from bus.writing.submission import Commit, GroupTimes, Submission, all_refused, count_refused, joined, refuse
from bus.writing.transactions import Transactions
from bus.writing.upkeep import Upkeep
from bus.writing.waiting import Waiting, not_ours
from domain.credentials.scanning import AllowedPaths
from domain.errors import Refusal, Unavailable
from migrations.sqlite_words import words_of

logger = logging.getLogger(__name__)


class GroupCommits:
    """Commits groups at the end of the log. Used by the writer's thread alone; any thread may read `head`.

    `now_ms` is asked once a group. Its answer is the group's time, unless the last event has a later one.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        transactions: Transactions,
        aggregates: Aggregates,
        projections: Projections,
        *,
        now_ms: Callable[[], int],
        allowed_secrets: AllowedPaths,
        is_ours: Callable[[], bool],
        replication: Replication | None,
        statistics: Statistics,
        queue: Waiting,
        upkeep: Upkeep,
        damage: Damage,
    ) -> None:
        self._connection = connection
        self._transactions = transactions
        self._aggregates = aggregates
        self._projections = projections
        self._answers = Answers(connection)
        self._now_ms = now_ms
        self._allowed_secrets = allowed_secrets
        self._is_ours = is_ours
        self._replication = replication
        self._statistics = statistics
        self._queue = queue
        self._upkeep = upkeep
        self._damage = damage
        self.head = chain.read_head(connection)
        self.timeline = _timeline(connection)
        self.group_limit = GROUP_COMMANDS

    def now(self) -> int:
        """The time of a group that begins now, in milliseconds since the epoch."""
        return max(self._now_ms(), self.head.recorded_at)

    async def commit(self, submissions: list[Submission]) -> Commit:
        """The group with its outcomes, on disk; or refused as a whole, and everything as it was before it."""
        group = Group(
            self._aggregates,
            self._projections,
            self._connection,
            self._answers,
            self.head,
            self.now(),
            self.timeline,
            self._allowed_secrets,
        )
        content = Content(before=self.head)
        is_replicated = False
        began = decided = replicated = time.perf_counter()
        try:
            self._require_ours()
            await self._transactions.begin()
            group.decide(submissions)
            content = group.write()
            decided = replicated = time.perf_counter()
            self._require_ours()
            # The transaction is open, all of it is written, and no sender has an answer yet. An exception
            # from here on rolls it back.
            if self._replication is not None and content:
                await self._replication.store(content)
                is_replicated = True
                replicated = time.perf_counter()
            await self._transactions.commit()
        except Exception as error:  # the writer's thread must survive even a defect here
            if not self._is_stored(content):
                if is_replicated and self._replication is not None:
                    self._replication.not_committed()
                return await self._taken_back(submissions, error, is_replicated=is_replicated)
            logger.warning("a group of commands was stored, although its commit reported: %s", error)
        times = GroupTimes(began, decided, replicated, time.perf_counter())
        return self._settled(group, submissions, content, times)

    def _require_ours(self) -> None:
        if not self._is_ours():
            raise not_ours()

    def _is_stored(self, content: Content) -> bool:
        # A commit that succeeded may report the failure of the WAL checkpoint after it. If its rows or its
        # answers were taken for not stored, every later group would collide with them.
        if self._connection.in_transaction:
            return False
        try:
            if content.rows:
                return chain.read_head(self._connection).hash == content.rows[-1].hash
            if content.answers:
                return self._answers.are_stored()
            return bool(content.leases) and are_leases_stored(self._connection, content.leases)
        except apsw.Error:
            return False

    def _settled(
        self, group: Group, submissions: list[Submission], content: Content, times: GroupTimes
    ) -> Commit:
        """The result of a group that is on disk."""
        rows = content.rows
        self._statistics.failures.count(self._aggregates.journal)
        self._aggregates.settle()
        self._answers.settle()
        if rows:
            self.head = rows[-1].head
        if content:
            self._transactions.commit_seconds = times.committed - times.replicated
        self._statistics.count(group, content, times)
        self.group_limit = limit_after(group.commands, times)
        if not self._is_ours():
            # The group is stored here, but the service that took over may not have it.
            refuse(submissions, not_ours(outcome="unknown"))
        return Commit(
            *(submissions, rows, group.notices, group.new_answers, group.let_through, times),
            leases=content.leases.keys(),
        )

    async def _taken_back(
        self, submissions: list[Submission], error: Exception, *, is_replicated: bool
    ) -> Commit:
        """The result of a group that is not on disk, once everything is as it was before it."""
        self._damage.note(error, "the writer")
        if not isinstance(error, Refusal):
            logger.error("a group of commands was not stored: %s", words_of(error))
            self._statistics.failed_commits += 1
            self._statistics.last_failure = words_of(error)
        self._aggregates.undo_all()
        self._transactions.rollback()
        self._upkeep.take_back(submissions)
        if isinstance(error, apsw.Error):
            await self._transactions.overwrite()
            error = Unavailable(
                "the store could not be written; nothing was stored",
                hint="try again, with the same command id; `hyperpage status` says what keeps it"
                " from being written",
                retry_after_ms=1_000,
            )
        if is_replicated:
            # The cluster's log has the group, so it will be applied, here or by another leader.
            error = not_ours(outcome="unknown")
        if isinstance(error, Unavailable):
            # Submissions that are `in_order` must not be decided before those that failed.
            followers = self._queue.take_in_order() if any(one.in_order for one in submissions) else []
            every = [*submissions, *followers]
            count_refused(self._statistics.outcomes, every, error.code)
            return all_refused(every, error)
        if len(submissions) > 1:
            return joined([await self.commit([one]) for one in submissions])
        if isinstance(error, Refusal):
            count_refused(self._statistics.outcomes, submissions, error.code)
            return all_refused(submissions, error)
        defect = internal(logger, "a group of commands could not be stored", error)
        count_refused(self._statistics.outcomes, submissions, defect.code)
        return all_refused(submissions, defect)


def _timeline(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT max(timeline) FROM timelines").get or 1)
