"""A store with its writer, and commands sent to it as the bus would send them."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from bus import codec, log
from bus.writer import Commit, Outcome, Request, Submission, Writer
from domain.errors import Refusal
from migrations import runner
from migrations.connection import open_writer
from ops.tables import Tables

NOW = 1_800_000_000_000
ANSWER_WITHIN_SECONDS = 30
TABLES = ("jobs", "job_history", "rate_limits", "tool_configs", "app_state")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Sent(NamedTuple):
    """One command on its way."""

    name: str
    body: Any = {}
    id: str | None = None
    expected_version: int | None = None


class Reply(NamedTuple):
    """What came back: the bytes, and what they say."""

    body: bytes

    @property
    def said(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal; `None` where the command was accepted."""
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
        checkpoint_pages: int = 4_000,
    ) -> None:
        self.path = path
        self.clock = clock or Clock()
        self.connection = open_writer(path, checkpoint_pages=checkpoint_pages)
        runner.up(self.connection)
        self.commits: list[Commit] = []
        self.writer = Writer(
            self.connection,
            Tables(),
            on_commit=self._on_commit,
            clock=self.clock,
            cache_capacity=cache_capacity,
        )
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
        return self.submit(Submission(requests=[request(one)], size_bytes=1) for one in commands)

    def send_batch(self, *commands: Sent, atomic: bool = False) -> Reply:
        """Sends commands in one message."""
        requests = [request(one) for one in commands]
        return self.submit([Submission(requests=requests, size_bytes=1, batch=True, atomic=atomic)])[0]

    def submit(self, submissions: Iterable[Submission]) -> list[Reply]:
        waiting = list(submissions)
        futures: list[Future[Outcome]] = [Future() for _ in waiting]
        for one, future in zip(waiting, futures, strict=True):
            one.context = future
        for refused in self.writer.submit(waiting):
            refused.context.set_result(refused.outcome)
        return [Reply(future.result(ANSWER_WITHIN_SECONDS).body) for future in futures]

    def in_writer(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        """What an errand gives back, run in the writer's thread between two groups."""
        future: Future[Any] = Future()
        self.writer.call(errand, future.set_result)
        return future.result(ANSWER_WITHIN_SECONDS)

    def rows(self) -> list[log.Row]:
        """The whole log."""
        rows: list[log.Row] = self.in_writer(
            lambda connection: log.read_after(connection, 0, limit=1_000_000)
        )
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


def request(sent: Sent) -> Request | Refusal:
    """A command decoded from its JSON, or why it was refused on the way."""
    decider, verb = codec.VERBS[sent.name]
    body = sent.body if isinstance(sent.body, bytes) else msgspec.json.encode(sent.body)
    try:
        command = codec.decode_command(verb, body)
    except Refusal as refusal:
        return refusal
    return Request(
        decider=decider,
        verb=verb,
        command=command,
        command_id=sent.id,
        expected_version=sent.expected_version,
    )


def dump_tables(
    connection: apsw.Connection, names: Iterable[str] = TABLES
) -> dict[str, list[tuple[str, ...]]]:
    """Tables row by row in the order of their keys, each value spelled as SQL would: byte for byte."""
    dump = {}
    for name in names:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        quoted = ", ".join(f"quote({column})" for column in columns)
        dump[name] = list(connection.execute(f"SELECT {quoted} FROM {name} ORDER BY 1"))
    return dump
