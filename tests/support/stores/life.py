"""A store that gets the commands of a history, and beside it a story of the same commands."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from bus.log import answers, chain
from bus.log.begins import counted_begins
from bus.log.damage import Damage
from bus.log.states import read_aggregate, to_recorded
from bus.writing import aggregates
from bus.writing.content import Replication
from bus.writing.group import Group as GroupCommit
from bus.writing.jobs.awaited_groups import AwaitedGroups
from bus.writing.jobs.due import DueJobs
from bus.writing.jobs.indexes import JobIndexes
from domain.catalogue import BY_TABLE, VERBS
from domain.decider import Aggregate, Lease, Transition
from domain.errors import Refusal
from domain.jobs.groups import GroupCounts, counts_of
from domain.messages import Recorded, split_stream
from migrations import runner
from migrations.connection import open_memory, open_reader
from ops.store.tables import Tables
from projections import rebuild
from projections.reading import all_rows
from projections.tables import TABLES as TABLES_BY_NAME
from tests.support.clock import HOUR_MS, Clock
from tests.support.documents.declared import assert_is
from tests.support.domain.generated_histories import Again, Group, Later, Restart, Wish
from tests.support.domain.given_when_then import Story
from tests.support.domain.indexed_story import Unlimited
from tests.support.stores.looking_inside import awaited, edges, unfinished
from tests.support.stores.migrated import migrated_memory
from tests.support.stores.writing import TABLES, Reply, Sent, Store, batch, dump_tables, single


@contextmanager
def frequently_kept_states() -> Iterator[None]:
    """Stores a snapshot every other event, and indexes as few ids at a time as possible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregates, "SNAPSHOT_INTERVAL", 2)
        patch.setattr(answers, "WAITING_IDS", 3)
        patch.setattr(answers, "STRIDE", 2)
        # The writer's jitter, for an attempt that timed out, is that of the story.
        patch.setattr(GroupCommit, "random", staticmethod(lambda: 0.0))
        yield


class Telling:
    """The pure side: a story, and the lease tokens that each job has had."""

    def __init__(self, story: Story | None = None, tokens: dict[str, list[str]] | None = None) -> None:
        self.story = story or Story()
        self.tokens = tokens or {}

    def copy(self) -> "Telling":
        tokens = {job_id: list(known) for job_id, known in self.tokens.items()}
        return Telling(self.story.copy(), tokens)

    def tell(self, sent: Sent) -> tuple[str | None, Any]:
        """The code of the refusal or `None`, and the result."""
        story = self.story
        if sent.expected_version is not None and (code := self._version_refusal(sent)):
            return code, None
        story.when(sent.name, **sent.body)
        if story.refusal is not None:
            return story.refusal.code, None
        if sent.name == "jobs.claim":
            for job_id, lease in story.decision.leases.items():
                assert lease is not None
                self.tokens.setdefault(job_id, []).append(lease.token)
            return None, list(story.decision.leases)
        return None, story.decision.result

    def _version_refusal(self, sent: Sent) -> str | None:
        decider, verb = VERBS[sent.name]
        if verb.key is None:
            return "invalid"
        try:
            key = verb.key(msgspec.json.decode(msgspec.json.encode(sent.body), type=verb.command))
        except Refusal as refusal:
            return refusal.code
        assert key is not None
        version = len(self.story.streams.get((decider.table, key), []))
        absent = not decider.exists(self.story.state(decider.table, key), self.story.now)
        expected = sent.expected_version
        return None if version == expected or (expected == 0 and absent) else "version_conflict"


class Life:
    """A store and the story beside it, through one history."""

    def __init__(self, folder: Path, replication: Replication | None = None) -> None:
        self.path = folder / "hyperpage.db"
        self.replication = replication
        self.clock = Clock()
        self.store = self._open()
        self.telling = Telling()
        self.tokens: dict[str, list[str]] = {}
        self.remembered: list[tuple[Sent, bytes]] = []
        self._ids = 0

    def live(self, one: Any) -> None:
        match one:
            case Later(milliseconds):
                self.clock.now += milliseconds
                self.telling.story.later(milliseconds)
            case Restart():
                self.store.close()
                self.store = self._open()
                self._extend_leases()
            case Again(which) if self.remembered:
                sent, body = self.remembered[which % len(self.remembered)]
                head = self.store.writer.head
                assert self.store.send_together(sent)[0].body == body
                assert self.store.writer.head == head
            case Group(submissions):
                self._send(submissions)

    def _open(self) -> Store:
        # The writer would rescue jobs by its own timer, unknown to the story: here a rescue is a command.
        return Store(
            self.path,
            self.clock,
            cache_capacity=2,
            next_upkeep=math.inf,
            replication=self.replication,
        )

    def _extend_leases(self) -> None:
        story = self.telling.story
        for job_id, lease in story.leases.items():
            expires_at = max(lease.expires_at, story.now + lease.lease_ms)
            story.leases[job_id] = msgspec.structs.replace(lease, expires_at=expires_at)

    def _send(self, submissions: list[tuple[str, list[Wish]]]) -> None:
        # Only tokens from before the group can be used, since no client has its answers yet.
        sent = [(kind, [self._resolved(one, self.tokens) for one in wished]) for kind, wished in submissions]
        told = [
            [self._resolved(one, self.telling.tokens, real) for one, real in zip(wished, reals, strict=True)]
            for (_, wished), (_, reals) in zip(submissions, sent, strict=True)
        ]
        replies = self.store.submit(
            single(commands[0]) if kind == "single" else batch(*commands, atomic=kind == "atomic")
            for kind, commands in sent
        )
        for (kind, commands), stories, reply in zip(sent, told, replies, strict=True):
            if kind == "atomic":
                self._compare_atomic(commands, stories, reply)
            else:
                bodies = [reply.body] if kind == "single" else list(map(msgspec.json.encode, reply.outcomes))
                for command, story, body in zip(commands, stories, bodies, strict=True):
                    self._compare(command, Reply(body), self.telling.tell(story))

    def _compare_atomic(self, commands: list[Sent], stories: list[Sent], reply: Reply) -> None:
        trial = self.telling.copy()
        results = []
        for index, story in enumerate(stories):
            results.append(trial.tell(story))
            if results[-1][0] is not None:
                assert reply.code == results[-1][0]
                assert reply["error"]["details"]["index"] == index
                return
        assert reply.code is None
        self.telling = trial
        for command, outcome, result in zip(commands, reply.outcomes, results, strict=True):
            self._compare(command, Reply(msgspec.json.encode(outcome)), result)

    def _compare(self, sent: Sent, reply: Reply, told: tuple[str | None, Any]) -> None:
        code, result = told
        assert reply.code == code, (sent, reply.said)
        if code is not None:
            return
        assert_is(VERBS[sent.name][1].result, msgspec.json.encode(reply["result"]))
        if sent.name == "jobs.claim":
            jobs = reply["result"]["jobs"]
            assert [job["id"] for job in jobs] == result
            for job in jobs:
                self.tokens.setdefault(job["id"], []).append(job["lease"])
        else:
            assert reply["result"] == msgspec.json.decode(msgspec.json.encode(result))
        verb = VERBS[sent.name][1]
        if sent.id is not None and verb.remembered and (reply["events"] or verb.empty_is_remembered):
            self.remembered.append((sent, reply.body))

    def _resolved(self, wished: Wish, tokens: dict[str, list[str]], real: Sent | None = None) -> Sent:
        body = dict(wished.body)
        if wished.lease is not None:
            known = tokens.get(body["id"], [])
            body["lease"] = known[wished.lease] if -len(known) <= wished.lease < len(known) else "none"
        body |= {name: self.clock.now + delay for name, delay in wished.after_ms.items()}
        if real is not None:
            return Sent(wished.name, body, real.id, wished.expected_version)
        self._ids += wished.has_id
        command_id = f"c{self._ids}" if wished.has_id else None
        return Sent(wished.name, body, command_id, wished.expected_version)

    # The properties that always hold

    def check_writer_against_story(self) -> None:
        """Checks that the log is that of the story, event for event, with versions, positions and times."""
        told = {
            f"{table}/{key}": [(one.position, one.version, one.recorded_at, one.event) for one in stream]
            for (table, key), stream in self.telling.story.streams.items()
        }
        logged: dict[str, list[Any]] = {}
        for row in self.store.rows():
            one = to_recorded(row)
            logged.setdefault(row.stream, []).append((one.position, one.version, one.recorded_at, one.event))
        assert logged == told
        leases = {job_id: as_numbers(lease) for job_id, lease in self.store.writer._aggregates.leases.items()}
        assert leases == {job_id: as_numbers(lease) for job_id, lease in self.telling.story.leases.items()}

    def check_the_laws(self, folder: Path) -> None:
        rows, tables = self.store.rows(), self.store.tables()
        self._check_the_log(rows)
        assert rebuilt(rows) == tables
        with_reader(self.path, lambda reader: self._check_verify(reader, folder))
        with_reader(self.path, self._check_shown)
        self._check_states(rows)
        self._check_indexes()
        self._check_answers(rows)
        with_reader(self.path, self._check_told_again)
        self._check_delivering_again(tables)

    def _check_the_log(self, rows: list[chain.Row]) -> None:
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        times = [row.recorded_at for row in rows]
        assert times == sorted(times)
        assert self.store.in_writer(chain.verify_chain) == self.store.writer.head

    def _check_shown(self, reader: apsw.Connection) -> None:
        """Every row is shown as its table declares it."""
        for table in TABLES_BY_NAME.values():
            for _, row in all_rows(reader, table):
                assert_is(table.shape, row)

    def _check_verify(self, reader: apsw.Connection, folder: Path) -> None:
        assert rebuild.verify(reader, folder / "scratch").equal
        (folder / "scratch").unlink(missing_ok=True)

    def _check_states(self, rows: list[chain.Row]) -> None:
        """The events alone give the states that the writer, its cache and its kept states give."""
        folded: dict[str, list[Aggregate]] = {}
        for row in rows:
            table, _ = split_stream(row.stream)
            stream = folded.setdefault(row.stream, [Aggregate()])
            state = BY_TABLE[table].evolve(stream[-1].state, to_recorded(row))
            stream.append(Aggregate(row.version, row.position, state))
        found = self.store.in_writer(lambda connection: self._states_found(connection, folded))
        assert found == {stream: [states[-1], *states[1:]] for stream, states in folded.items()}

    def _states_found(
        self, connection: apsw.Connection, folded: dict[str, list[Aggregate]]
    ) -> dict[str, list[Aggregate]]:
        """Each stream's state as the writer has it, and as it was after each of its events."""
        found = {}
        for stream, states in folded.items():
            table, key = split_stream(stream)
            found[stream] = [self.store.writer._aggregates.get(table, key)] + [
                read_aggregate(connection, table, key, up_to_position=state.position) for state in states[1:]
            ]
        return found

    def _check_indexes(self) -> None:
        """Memory holds what a start would load."""
        fresh = JobIndexes(**self.store.in_writer(_as_at_a_start))
        kept = self.store.writer._aggregates
        assert len(kept.jobs.due) == len(fresh.due)
        assert self._order_of(kept.jobs.due) == self._order_of(fresh.due)
        for now in (self.clock.now, self.clock.now + HOUR_MS):
            assert kept.jobs.depths(now) == fresh.depths(now)
        next_runs = self.store.in_writer(lambda connection: dict(Tables().next_runs(connection)))
        assert kept.next_runs == next_runs
        assert kept.jobs.deadlines == fresh.deadlines
        assert kept.jobs.running.all() == fresh.running.all()
        assert kept.jobs.begins.at(self.clock.now) == fresh.begins.at(self.clock.now)
        assert edges(kept.jobs.dependents) == edges(fresh.dependents)
        assert self._to_resolve(kept.jobs) == self._to_resolve(fresh)
        assert awaited(kept.jobs.groups) == awaited(fresh.groups)
        self._check_groups(kept.jobs.groups)
        assert unfinished(kept.jobs.unique) == unfinished(fresh.unique)
        on_disk = self.store.in_writer(
            lambda connection: dict(connection.execute("SELECT job_id, token FROM job_leases"))
        )
        assert {job_id: lease.token for job_id, lease in kept.leases.items()} == on_disk
        assert set(kept.leases) == set(fresh.deadlines)

    def _check_groups(self, groups: AwaitedGroups) -> None:
        """Memory counts the jobs of groups as their table does."""

        def counted(connection: apsw.Connection) -> list[tuple[GroupCounts, GroupCounts]]:
            return [
                (groups.counts(one), counts_of(dict(Tables().group_states(connection, one))))
                for one in list(groups._counts)
            ]

        for in_memory, in_table in self.store.in_writer(counted):
            assert in_memory == in_table

    def _to_resolve(self, indexes: JobIndexes) -> dict[str, bool]:
        known = indexes.dependents
        return {one: failed for one, failed in known.ended.items() if known.left(one)}

    def _order_of(self, due: DueJobs) -> list[list[str]]:
        def read(connection: apsw.Connection) -> list[list[str]]:
            for limit in due.limits():
                due.limit_changed(limit)
            return [
                due.next(queue, None, 99, now, (), Unlimited())
                for queue in ("default", "other")
                for now in (self.clock.now, self.clock.now + HOUR_MS)
            ]

        order: list[list[str]] = self.store.in_writer(read)
        return order

    def _check_answers(self, rows: list[chain.Row]) -> None:
        """Each answer names the events that its command led to, and the place of the last."""
        by_command: dict[str | None, list[chain.Row]] = {}
        for row in rows:
            by_command.setdefault(row.command_id, []).append(row)
        for sent, body in self.remembered:
            said = msgspec.json.decode(body)
            events = by_command.get(sent.id, [])
            assert said["events"] == [row.type for row in events]
            last = (events[-1].stream, events[-1].version, events[-1].position) if events else (None,) * 3
            assert (said["stream"], said["version"], said["position"]) == last

    def _check_told_again(self, reader: apsw.Connection) -> None:
        """Checks the answers that the log gives, also after the file went to an older form and back."""
        told = answers.read_answers(reader, 0)
        answered = {sent.id: body for sent, body in self.remembered}
        assert {one.command_id: one.answer.encode() for one in told} == answered
        copy = open_memory()
        image = bytearray(reader.serialize("main"))
        # Without a WAL: https://www.sqlite.org/fileformat2.html, offsets 18 and 19.
        image[18:20] = b"\1\1"
        copy.deserialize("main", bytes(image))
        runner.down(copy, to="007_event_causes")
        assert sorted(copy.execute("SELECT * FROM command_answers")) == sorted(told)
        runner.up(copy)
        assert sorted(answers.read_answers(copy, 0)) == sorted(told)
        told_by_events = "SELECT count(*) FROM command_answers WHERE answer IS NULL"
        assert copy.execute(told_by_events).get == reader.execute(told_by_events).get
        copy.close()

    def _check_delivering_again(self, tables: dict[str, Any]) -> None:
        head = self.store.writer.head
        for start in range(0, len(self.remembered), 7):
            portion = self.remembered[start : start + 7]
            replies = self.store.send_together(*(sent for sent, _ in portion))
            assert [reply.body for reply in replies] == [body for _, body in portion]
        assert (self.store.writer.head, self.store.tables()) == (head, tables)


def _as_at_a_start(connection: apsw.Connection) -> dict[str, Any]:
    jobs, ended = list(Tables().open_jobs(connection)), list(Tables().ended_dependencies(connection))
    return {"open_jobs": jobs, "ended": ended, "began": list(counted_begins(connection, 0, Damage()))}


def as_numbers(lease: Lease) -> tuple[str, int, int]:
    return lease.worker, lease.lease_ms, lease.expires_at


def rebuilt(rows: list[chain.Row]) -> dict[str, Any]:
    """The tables as the log alone gives them, each event a transaction of its own."""
    connection = migrated_memory()
    states: dict[str, Aggregate] = {}
    for row in rows:
        table, key = split_stream(row.stream)
        before = states.get(row.stream, Aggregate())
        recorded: Recorded = to_recorded(row)
        after = Aggregate(row.version, row.position, BY_TABLE[table].evolve(before.state, recorded))
        states[row.stream] = after
        Tables().write(connection, [Transition(table, key, before, after, recorded)])
    dump = dump_tables(connection, TABLES)
    connection.close()
    return dump


def with_reader(path: Path, use: Any) -> None:
    reader = open_reader(path)
    try:
        use(reader)
    finally:
        reader.close()
