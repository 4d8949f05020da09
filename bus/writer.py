"""The single writer: everything that waits becomes one transaction, with one time, one commit and one fsync.

    submit ──▶ waiting ──▶ [ group: decide, evolve ─▶ events, rows, answers ─▶ COMMIT ] ──▶ outcomes

It runs in a thread of its own, which owns the connection, the states and the head of the log. Nothing is
answered before the commit is on disk; what waits while a commit runs forms the next group, so there is no
timer and no delay when idle. One command's failure never fails its neighbours; a commit's failure fails all.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import apsw
import msgspec

from bus import codec, log
from bus.aggregates import ABSENT, Aggregate, Aggregates, Transition, read_aggregate, snapshot_rows
from bus.due_jobs import WaitingJob
from bus.identifiers import new_id, new_ids
from domain.catalogue import VERBS, encode_event
from domain.decider import Decider, Decision, Lease, Notice, Verb
from domain.errors import (
    Busy,
    CommandIdReused,
    Internal,
    Invalid,
    Refusal,
    Unavailable,
    VersionConflict,
)
from domain.jobs import TABLE as JOBS
from domain.jobs import Job
from domain.messages import Recorded, stream_name
from migrations.connection import write_transaction
from migrations.rows import delete_rows, insert_rows

MAXIMUM_WAITING_COMMANDS = 20_000
MAXIMUM_WAITING_BYTES = 256 * 1024 * 1024
MAXIMUM_GROUP_COMMANDS = 1_024
RETRY_AFTER_MS = 100
# How much one answer may weigh: under the broker's 1 MiB, with room for its headers.
MAXIMUM_ANSWER_BYTES = 900 * 1024
# What one answer in a batch weighs without its result; a thousand of them leave room for claims.
_ENVELOPE_IN_BATCH_BYTES = 512
# An expired lease is found within this time.
LEASE_CHECK_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Projections(Protocol):
    """The tables that follow the log, kept current inside the writer's transaction."""

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        """Brings the tables up to date with a group's events."""

    def row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        """The row of an aggregate as `get` answers it; `None` where there is nothing."""

    def waiting_jobs(self, connection: apsw.Connection) -> Iterator[WaitingJob]:
        """Every job that waits, as the tables have it."""

    def running_jobs(self, connection: apsw.Connection) -> Iterator[str]:
        """The id of every running job, as the tables have it."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded command. `metadata` is the JSON for its events, where the caller said anything."""

    decider: Decider
    verb: Verb
    command: Any
    command_id: str | None = None
    expected_version: int | None = None
    metadata: str | None = None

    @property
    def name(self) -> str:
        return f"{self.decider.table}.{self.verb.name}"


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request: the bytes of its answer, or why it was refused."""

    body: bytes
    refusal: Refusal | None = None


class Submission(msgspec.Struct, kw_only=True, eq=False):
    """What waits for the writer: one command, or a batch. `deliver` gets it back with its outcome set.

    The outcome of a request that was malformed in a batch is there from the start.
    """

    requests: list[Request | Refusal]
    size_bytes: int
    context: Any = None
    batch: bool = False
    atomic: bool = False
    outcome: Outcome | None = None


class Commit(msgspec.Struct, frozen=True):
    """What a group did, told after it is on disk (or, with `rows` empty, was found to need no disk)."""

    submissions: list[Submission]
    rows: list[log.Row]
    notices: list[Notice]


class Statistics(msgspec.Struct):
    """Counts since the start; `last_failure` is why the last commit failed, `None` if it did not."""

    groups: int = 0
    commands: int = 0
    events: int = 0
    failed_commits: int = 0
    last_failure: str | None = None


class Writer:
    """The thread that writes. `on_commit` is called there, once a group; it hands over and returns.

    `clock` answers with milliseconds since the epoch.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        projections: Projections,
        *,
        on_commit: Callable[[Commit], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        cache_capacity: int = 50_000,
    ) -> None:
        self._connection = connection
        self._projections = projections
        self._on_commit = on_commit
        self._clock = clock
        self._aggregates = Aggregates(connection, capacity=cache_capacity)
        self._waiting: deque[Submission] = deque()
        self._waiting_bytes = 0
        self._waiting_commands = 0
        self._errands: deque[tuple[Callable[[apsw.Connection], Any], Callable[[Any], None]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer")
        self.statistics = Statistics()
        self.head = log.read_head(connection)
        self.timeline = _timeline(connection)
        self._next_lease_check = 0.0
        self._orphans: set[str] = set()

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
        self._aggregates.load_waiting(self._projections.waiting_jobs(self._connection))
        self._aggregates.leases = {one.job_id: one for one in leases}
        # A running job without a lease: its lease was lost with a restore.
        self._orphans = set(self._projections.running_jobs(self._connection)) - {one.job_id for one in leases}
        self._thread.start()

    def reload(self) -> None:
        """Takes in anew which jobs wait, after the tables were put right; only to be called by an errand."""
        self._aggregates.load_waiting(self._projections.waiting_jobs(self._connection))

    def stop(self) -> None:
        """Ends after the open transaction and all that waits; blocks until then."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return self._waiting_commands

    def submit(self, submissions: list[Submission]) -> list[Submission]:
        """Queues what there is room for, in order, and answers with what was refused.

        Those have their outcome set: `busy`, or `unavailable` while shutting down.
        """
        refused = []
        with self._wake:
            for one in submissions:
                count = len(one.requests)
                if self._stopping:
                    one.outcome = _refused(Unavailable("the service is shutting down", retry_after_ms=1_000))
                    refused.append(one)
                elif (
                    self._waiting_commands + count > MAXIMUM_WAITING_COMMANDS
                    or self._waiting_bytes + one.size_bytes > MAXIMUM_WAITING_BYTES
                ):
                    one.outcome = _refused(
                        Busy("too many commands wait", hint="try again", retry_after_ms=RETRY_AFTER_MS)
                    )
                    refused.append(one)
                else:
                    self._waiting.append(one)
                    self._waiting_commands += count
                    self._waiting_bytes += one.size_bytes
            self._wake.notify()
        return refused

    def call(self, errand: Callable[[apsw.Connection], Any], done: Callable[[Any], None]) -> None:
        """Runs `errand` in the writer's thread between two groups, in a transaction of its own.

        `done` gets its result, or its exception, there.
        """
        with self._wake:
            self._errands.append((errand, done))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            group, errands, stopping = self._take()
            for errand, done in errands:
                done(self._run_errand(errand))
            self._check_leases(group)
            if group:
                self._on_commit(self._commit(group))
            elif stopping:
                return

    def _take(self) -> tuple[list[Submission], list[Any], bool]:
        with self._wake:
            if not self._waiting and not self._errands and not self._stopping:
                self._wake.wait(LEASE_CHECK_SECONDS)
            group: list[Submission] = []
            count = 0
            while self._waiting and count < MAXIMUM_GROUP_COMMANDS:
                one = self._waiting.popleft()
                group.append(one)
                count += len(one.requests)
                self._waiting_bytes -= one.size_bytes
            self._waiting_commands -= count
            errands = list(self._errands)
            self._errands.clear()
            return group, errands, self._stopping

    def _run_errand(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = errand(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:  # whoever sent the errand gets it
            self._rollback()
            return error
        return result

    def _check_leases(self, group: list[Submission]) -> None:
        """Adds the rescue of every job whose lease has run out."""
        if time.monotonic() < self._next_lease_check:
            return
        self._next_lease_check = time.monotonic() + LEASE_CHECK_SECONDS
        now = self._now()
        expired = [one.job_id for one in self._aggregates.leases.values() if one.expires_at <= now]
        decider, verb = VERBS["jobs.rescue"]
        for job_id in [*expired, *self._orphans][:MAXIMUM_GROUP_COMMANDS]:
            self._orphans.discard(job_id)
            request = Request(decider=decider, verb=verb, command=verb.command(id=job_id))
            group.append(Submission(requests=[request], size_bytes=0))

    def _commit(self, submissions: list[Submission]) -> Commit:
        group = _Group(self._aggregates, self._connection, self.head, self._now(), self.timeline)
        rows: list[log.Row] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            group.decide(submissions, self._projections)
            rows = group.write(self._projections)
            self._connection.execute("COMMIT")
        except Exception as error:  # the thread that everybody waits for must outlive even a defect here
            if not self._is_stored(rows):
                return self._failed(submissions, error)
            logger.warning("a group of commands was stored, although its commit reported: %s", error)
        self._aggregates.settle()
        if rows:
            last = rows[-1]
            self.head = log.Head(last.position, last.hash, last.recorded_at)
        self.statistics.last_failure = None
        self.statistics.groups += 1
        self.statistics.commands += group.commands
        self.statistics.events += len(rows)
        return Commit(submissions, rows, group.notices)

    def _is_stored(self, rows: list[log.Row]) -> bool:
        # A commit may report what failed behind it, in a WAL checkpoint. To take its rows for not stored
        # would have every later group collide with them.
        if not rows or self._connection.in_transaction:
            return False
        try:
            return log.read_head(self._connection).hash == rows[-1].hash
        except apsw.Error:
            return False

    def _failed(self, submissions: list[Submission], error: Exception) -> Commit:
        logger.error("a group of commands was not stored: %s", error)
        self.statistics.failed_commits += 1
        self.statistics.last_failure = str(error)
        self._aggregates.undo_to()
        self._rollback()
        # Whoever lost a lease is still to be rescued.
        self._orphans.update(_to_rescue(submissions))
        if isinstance(error, apsw.Error):
            self._overwrite_failed_commit()
            refusal: Refusal = Unavailable(
                "the store could not be written; nothing was stored", hint="try again", retry_after_ms=1_000
            )
            return _all_refused(submissions, refusal)
        if len(submissions) > 1:
            return _joined([self._commit([one]) for one in submissions])
        incident = new_id()
        logger.error("incident %s: a group of commands could not be stored", incident, exc_info=error)
        return _all_refused(submissions, Internal(f"internal error; incident {incident}", incident=incident))

    def _overwrite_failed_commit(self) -> None:
        # One whose fsync failed stands in the WAL as a whole. SQLite passes over it, but the recovery after a
        # crash would not: what was said to be not stored would be there. Another commit takes its place.
        with suppress(apsw.Error), write_transaction(self._connection):
            # An UPDATE to the same value writes nothing; this writes a page.
            self._connection.pragma("user_version", self._connection.pragma("user_version"))

    def _rollback(self) -> None:
        # Some failures have rolled back already. One that remains is met again by the next BEGIN.
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    def _now(self) -> int:
        return max(self._clock(), self.head.recorded_at)


class _Group:
    """One transaction in the making. Serves the domain as its context, too."""

    def __init__(
        self, aggregates: Aggregates, connection: apsw.Connection, head: log.Head, now: int, timeline: int
    ) -> None:
        self._aggregates = aggregates
        self._connection = connection
        self._head = head
        self._timeline = timeline
        self._entries: list[log.Entry] = []
        self._remembered: dict[str, tuple[bytes, bytes]] = {}
        self._new_answers: dict[str, tuple[str, bytes, int, str]] = {}
        self._ids = new_ids(now)
        self.now = now
        self.answer_bytes_left = MAXIMUM_ANSWER_BYTES
        self.notices: list[Notice] = []
        self.commands = 0

    # What the domain may look at.

    def new_id(self) -> str:
        return next(self._ids)

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

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> list[Job]:
        ids = self._aggregates.due_jobs.next(queue, types, limit, self.now)
        return [self._aggregates.get(JOBS, job_id).state for job_id in ids]

    def lease(self, job_id: str) -> Lease | None:
        return self._aggregates.leases.get(job_id)

    # The way of the group.

    def decide(self, submissions: list[Submission], projections: Projections) -> None:
        """Gives every submission its outcome, which holds once the group is committed."""
        self._projections = projections
        requests = [
            request for one in submissions for request in one.requests if isinstance(request, Request)
        ]
        self._recall(requests)
        self._aggregates.look_ahead(filter(None, map(_stream_named, requests)))
        for one in submissions:
            self.answer_bytes_left = MAXIMUM_ANSWER_BYTES
            self.commands += len(one.requests)
            if not one.batch:
                one.outcome = self._outcome(one.requests[0])
            elif one.atomic:
                one.outcome = self._all_or_nothing(one.requests)
            else:
                one.outcome = self._one_by_one(one.requests)

    def write(self, projections: Projections) -> list[log.Row]:
        """Writes what the group decided, and answers with the rows of its events."""
        connection = self._connection
        rows, _ = log.extend(self._head, self._entries, self.now)
        transitions = self._aggregates.journal
        if rows:
            log.insert(connection, rows)
            projections.write(connection, transitions)
            insert_rows(connection, "INSERT INTO snapshots", snapshot_rows(transitions))
        insert_rows(connection, "INSERT INTO command_answers", self._new_answers.values())
        self._write_leases()
        return rows

    def _write_leases(self) -> None:
        changed = self._aggregates.changed_leases()
        ended = [job_id for job_id, lease in changed.items() if lease is None]
        kept = [
            (lease.job_id, lease.token, lease.worker, lease.lease_ms, lease.expires_at)
            for lease in changed.values()
            if lease is not None
        ]
        delete_rows(self._connection, "job_leases", "job_id", ended)
        insert_rows(self._connection, "INSERT OR REPLACE INTO job_leases", kept)

    def _recall(self, requests: list[Request]) -> None:
        """Reads, in one go, what was answered before to the group's command ids."""
        ids = {request.command_id for request in requests if request.command_id is not None}
        if ids:
            for command_id, request_hash, answer in self._connection.execute(
                "SELECT command_id, request_hash, answer FROM carray(?)"
                " CROSS JOIN command_answers ON command_id = value",
                (apsw.carray(tuple(ids)),),
            ):
                self._remembered[command_id] = (request_hash, answer.encode())

    def _one_by_one(self, requests: list[Request | Refusal]) -> Outcome:
        bodies = []
        # Each command that is still to come needs room for its envelope.
        self.answer_bytes_left -= len(requests) * _ENVELOPE_IN_BATCH_BYTES
        for request in requests:
            outcome = self._outcome(request)
            bodies.append(outcome.body)
            self.answer_bytes_left -= max(0, len(outcome.body) - _ENVELOPE_IN_BATCH_BYTES)
        return _outcomes(bodies)

    def _all_or_nothing(self, requests: list[Request | Refusal]) -> Outcome:
        mark, entries, notices = self._aggregates.mark(), len(self._entries), len(self.notices)
        remembered, new_answers = dict(self._remembered), dict(self._new_answers)
        bodies: list[bytes] = []
        self.answer_bytes_left -= len(requests) * _ENVELOPE_IN_BATCH_BYTES
        for index, request in enumerate(requests):
            outcome = self._outcome(request)
            self.answer_bytes_left -= max(0, len(outcome.body) - _ENVELOPE_IN_BATCH_BYTES)
            if outcome.refusal is not None:
                self._aggregates.undo_to(mark)
                del self._entries[entries:]
                del self.notices[notices:]
                self._remembered, self._new_answers = remembered, new_answers
                outcome.refusal.details.setdefault("index", index)
                return _refused(outcome.refusal)
            bodies.append(outcome.body)
        return _outcomes(bodies)

    def _outcome(self, request: Request | Refusal) -> Outcome:
        if isinstance(request, Refusal):
            return _refused(request)
        mark, entries = self._aggregates.mark(), len(self._entries)
        try:
            return Outcome(self._answer(request))
        except Refusal as refusal:
            error = refusal
        except apsw.Error:
            raise
        except Exception:
            incident = new_id()
            logger.exception("incident %s: a command could not be decided", incident)
            error = Internal(f"internal error; incident {incident}", incident=incident)
        self._aggregates.undo_to(mark)
        del self._entries[entries:]
        return _refused(error)

    def _answer(self, request: Request) -> bytes:
        command_id, request_hash = request.command_id, b""
        if command_id is not None and request.verb.remembered:
            request_hash = codec.request_hash(request.name, request.expected_version, request.command)
            seen = self._remembered.get(command_id)
            if seen is not None:
                if seen[0] != request_hash:
                    raise CommandIdReused(
                        f"command id {command_id} was used for another command",
                        hint="a retry repeats verb, body and expected version; anything else needs a new id",
                    )
                return seen[1]
        decision = self._decide(request)
        answer = codec.encode(self._record(request, decision))
        remembered = request.verb.remembered and (decision.events or request.verb.empty_is_remembered)
        if command_id is not None and remembered:
            self._remembered[command_id] = (request_hash, answer)
            head = self._head.position + len(self._entries)
            self._new_answers[command_id] = (command_id, request_hash, head, answer.decode())
        return answer

    def _decide(self, request: Request) -> Decision:
        if request.verb.key is None:
            if request.expected_version is not None:
                raise Invalid(
                    f"{request.name} spans several streams: there is no one version to expect",
                    path="Hyperpage-Expected-Version",
                )
            return request.verb.decide(None, request.command, self, None)
        key = request.verb.key(request.command)
        if key is None:
            key = self.new_id()
            # Nobody else has made it: there is no stream to look for.
            self._aggregates.expect_absent((stream_name(request.decider.table, key),))
        aggregate = self._aggregates.get(request.decider.table, key)
        _expect(request, aggregate, key)
        return request.verb.decide(aggregate.state, request.command, self, key)

    def _record(self, request: Request, decision: Decision) -> codec.Answer:
        table = request.decider.table
        command_id = request.command_id or self.new_id()
        types = []
        stream: str | None = None
        last = ABSENT
        for event_key, event in decision.events:
            before = self._aggregates.get(table, event_key)
            type_name, data = encode_event(event)
            stream = stream_name(table, event_key)
            version, position = before.version + 1, self._head.position + len(self._entries) + 1
            self._entries.append(
                log.Entry(stream, version, type_name, command_id, data.decode(), request.metadata)
            )
            last = self._aggregates.apply(table, Recorded(position, event_key, version, self.now, event))
            types.append(type_name)
        for job_id, lease in decision.leases.items():
            self._aggregates.set_lease(job_id, lease)
        self.notices.extend(decision.notices)
        return codec.Answer(
            command_id,
            stream,
            last.version or None,
            last.position or None,
            self._timeline,
            types,
            decision.result(self._row) if callable(decision.result) else decision.result,
        )

    def _row(self, table: str, key: str) -> msgspec.Raw:
        return msgspec.Raw(self._projections.row_json(table, self._aggregates.get(table, key)) or b"null")


def _to_rescue(submissions: list[Submission]) -> Iterator[str]:
    for one in submissions:
        for request in one.requests:
            if isinstance(request, Request) and request.verb.internal:
                yield request.command.id


def _stream_named(request: Request) -> str | None:
    try:
        key = None if request.verb.key is None else request.verb.key(request.command)
    except Refusal:
        # It gets its answer when its turn comes, and its neighbours theirs.
        return None
    return None if key is None else stream_name(request.decider.table, key)


def _expect(request: Request, aggregate: Aggregate, key: str) -> None:
    expected = request.expected_version
    if expected is None or expected == aggregate.version:
        return
    # Zero: must not exist. A stream whose aggregate was deleted goes on, but what it was is gone.
    if expected == 0 and aggregate.state is None:
        return
    raise VersionConflict(
        f"{stream_name(request.decider.table, key)} is at version {aggregate.version}, not {expected}",
        hint="read it again, and decide on what it is now",
        expected_version=expected,
        actual_version=aggregate.version,
    )


def _all_refused(submissions: list[Submission], refusal: Refusal) -> Commit:
    outcome = _refused(refusal)
    for one in submissions:
        one.outcome = outcome
    return Commit(submissions, [], [])


def _joined(commits: list[Commit]) -> Commit:
    return Commit(
        [one for commit in commits for one in commit.submissions],
        [row for commit in commits for row in commit.rows],
        [notice for commit in commits for notice in commit.notices],
    )


def _outcomes(bodies: list[bytes]) -> Outcome:
    return Outcome(b'{"outcomes":[' + b",".join(bodies) + b"]}")


def _refused(refusal: Refusal) -> Outcome:
    return Outcome(codec.error_body(refusal), refusal)


def _timeline(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT max(timeline) FROM timelines").get or 1)
