"""A store with its writer, and commands sent to it as the bus would send them."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from bus.contract import codec
from bus.log import chain
from bus.writing.content import Replication
from bus.writing.group_context import Projections
from bus.writing.submission import Commit, Outcome, Request, Submission
from bus.writing.writer import Writer
from domain.catalogue import VERBS
from domain.errors import Refusal
from ops.store.opening import open_store
from ops.store.tables import Tables
from tests.support.clock import Clock
from tests.support.stores.looking_inside import read_after
from tests.support.stores.migrated import lay_out

ANSWER_WITHIN_SECONDS = 30
TABLES = ("jobs", "job_history", "queues", "schedules", "rate_limits", "tool_configs", "app_state")


class Sent(NamedTuple):
    """A command to be sent."""

    name: str
    body: Any = {}
    id: str | None = None
    expected_version: int | None = None
    metadata: str | None = None
    owner: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """An answer: its bytes, and their decoded content."""

    body: bytes

    @property
    def said(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal; `None` if the command was accepted."""
        return self.said["error"]["code"] if b'{"error":' in self.body[:9] else None

    @property
    def outcomes(self) -> list[Any]:
        """The outcomes of a batch."""
        return self.said["outcomes"]

    def __getitem__(self, name: Any) -> Any:
        return self.said[name]


class Store:
    """A file and the writer on it. Closing it stops the writer; `with` closes."""

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        *,
        cache_capacity: int = 50_000,
        projections: Projections | None = None,
        next_upkeep: float = 0,
        prune_after_ms: dict[str, int] | None = None,
        synced: bool = True,
        replication: Replication | None = None,
        laid_out: bool = True,
    ) -> None:
        self.path = path
        self.clock = clock or Clock()
        if laid_out:
            lay_out(path)
        self.connection, self.origin = open_store(path, cache_kib=1024)
        if not synced:
            # The store may be lost in a crash of the machine.
            self.connection.pragma("synchronous", "off")
        self.commits: list[Commit] = []
        self.writer = Writer(
            self.connection,
            projections or Tables(),
            on_commit=self._on_commit,
            clock=self.clock,
            cache_capacity=cache_capacity,
            prune_after_ms=prune_after_ms,
            replication=replication,
        )
        # By `time.monotonic`; with `math.inf`, only the test rescues jobs.
        self.writer._next_upkeep = next_upkeep
        self.writer.start()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.writer.stop()
        self.connection.close()

    def send(self, name: str, body: Any = None, **headers: Any) -> Reply:
        """Sends one command and waits for its answer."""
        return self.send_together(Sent(name, body or {}, **headers))[0]

    def send_together(self, *commands: Sent) -> list[Reply]:
        """Sends commands that the writer takes as one group; the answers come in their order."""
        return self.submit(map(single, commands))

    def send_batch(self, *commands: Sent, atomic: bool = False) -> Reply:
        """Sends commands in one message."""
        return self.submit([batch(*commands, atomic=atomic)])[0]

    def submit(self, submissions: Iterable[Submission]) -> list[Reply]:
        """Hands submissions to the writer at once, and waits for all of their answers."""
        return [answer() for answer in self.post(submissions)]

    def post(self, submissions: Iterable[Submission]) -> list[Callable[[], Reply]]:
        """Hands submissions to the writer at once. Each answer is waited for when it is asked for."""
        waiting = list(submissions)
        for one in waiting:
            one.context = Future[Outcome]()
        for refused in self.writer.submit(waiting):
            refused.context.set_result(refused.outcome)
        return [partial(_reply, one.context) for one in waiting]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the writer for the length of the block; commands wait."""
        entered, release = threading.Event(), threading.Event()
        ended: Future[Any] = Future()

        def errand(connection: apsw.Connection) -> None:
            entered.set()
            release.wait(ANSWER_WITHIN_SECONDS)

        self.writer.call(errand, ended.set_result)
        assert entered.wait(ANSWER_WITHIN_SECONDS)
        try:
            yield
        finally:
            release.set()
            ended.result(ANSWER_WITHIN_SECONDS)

    def in_writer(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        """The result of an errand that runs in the writer's thread between two groups."""
        return self.call(errand)()

    def call(self, errand: Callable[[apsw.Connection], Any]) -> Callable[[], Any]:
        """Hands an errand to the writer; the function that this returns waits for the errand's result."""
        future: Future[Any] = Future()
        self.writer.call(errand, future.set_result)

        def result() -> Any:
            given_back = future.result(ANSWER_WITHIN_SECONDS)
            if isinstance(given_back, BaseException):
                raise given_back
            return given_back

        return result

    def rows(self) -> list[chain.Row]:
        """The whole log."""
        rows: list[chain.Row] = self.in_writer(lambda connection: read_after(connection, 0, limit=1_000_000))
        return rows

    def tables(self) -> dict[str, list[tuple[str, ...]]]:
        """Every table of the projections, each value spelled as SQL would."""
        dump: dict[str, list[tuple[str, ...]]] = self.in_writer(dump_tables)
        return dump

    def _on_commit(self, commit: Commit) -> None:
        self.commits.append(commit)
        for one in commit.submissions:
            if one.context is not None:
                one.context.set_result(one.outcome)


def _reply(future: Future[Outcome]) -> Reply:
    return Reply(future.result(ANSWER_WITHIN_SECONDS).body)


def single(sent: Sent) -> Submission:
    """A command as a submission of its own."""
    return Submission(requests=[request(sent)], size_bytes=1)


def batch(*commands: Sent, atomic: bool = False) -> Submission:
    """Commands in one message."""
    return Submission(requests=[request(one) for one in commands], size_bytes=1, batch=True, atomic=atomic)


def request(sent: Sent) -> Request | Refusal:
    """A command decoded from its JSON, or its refusal."""
    decider, verb = VERBS[sent.name]
    body = sent.body if isinstance(sent.body, bytes) else msgspec.json.encode(sent.body)
    try:
        command = codec.decode_command(verb, body)
    except Refusal as refusal:
        return refusal
    return Request(
        name=sent.name,
        decider=decider,
        verb=verb,
        command=command,
        command_id=sent.id,
        expected_version=sent.expected_version,
        metadata=sent.metadata,
        owner=sent.owner,
        findings=codec.findings_in(body),
    )


def dump_tables(
    connection: apsw.Connection, names: Iterable[str] = TABLES
) -> dict[str, list[tuple[str, ...]]]:
    """Tables row by row in the order of their keys, each value spelled as SQL would: byte for byte."""
    dump = {}
    for name in names:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        quoted = ", ".join(f"quote({column})" for column in columns)
        dump[name] = list(connection.execute(f"SELECT {quoted} FROM {name} ORDER BY {columns[0]}"))
    return dump
