"""The destinations of an import: a stopped store's file, a running service, or a trial."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import Answers
from bus.serving.administration import AdministrationVerb
from bus.writing.aggregates import Aggregates
from bus.writing.group import Group
from bus.writing.submission import Request, Submission
from bus.writing.waiting import RETRY_AFTER_MS
from bus.writing.writer import Writer
from domain.credentials.scanning import AllowedPaths
from domain.errors import Busy, NotFound, RuleViolated, Unavailable
from migrations import runner
from migrations.connection import open_memory, open_reader, write_transaction
from migrations.schema import require_own_schema
from migrations.sqlite_words import words_of
from ops.importing.importer import ImportReport, import_all
from ops.importing.source import Source, SourceError, SourceMissingError
from ops.store.tables import Tables
from ops.store.troubles import hint_of
from projections import installed_tables


class StoppedStore:
    """The file of a stopped service; each portion is one transaction, on disk when it is answered.

    Portions are decided like groups of commands in the writer, but without a running service's upkeep: no job
    is rescued, timed out or made by a schedule while there are no workers.
    """

    def __init__(self, connection: apsw.Connection, allowed: AllowedPaths, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._allowed = allowed
        self._clock = clock
        self._answers = Answers(connection)
        self._head = chain.read_head(connection)
        self._timeline = int(connection.execute("SELECT max(timeline) FROM timelines").get or 1)
        self.position = self._head.position

    def take(self, requests: list[Request]) -> bytes:
        """Stores these commands as a batch, and returns its answer.

        Raises:
            Unavailable: the store cannot be written.
        """
        submission = batch(requests)
        try:
            with write_transaction(self._connection):
                group = self._decided(submission)
                rows = group.write().rows
        except apsw.Error as error:
            raise Unavailable(
                f"the store could not be written: {words_of(error)}", hint=hint_of(error)
            ) from error
        self._answers.settle()
        if rows:
            self._head = rows[-1].head
        return answer(submission)

    def _decided(self, submission: Submission) -> Group:
        # New aggregates for each portion, so that imported states do not stay in memory.
        aggregates = Aggregates(self._connection)
        now = max(self._clock(), self._head.recorded_at)
        group = Group(
            aggregates,
            Tables(),
            self._connection,
            self._answers,
            self._head,
            now,
            self._timeline,
            self._allowed,
        )
        group.decide([submission])
        return group


class Trial(StoppedStore):
    """A trial of an import: the store is only read, also while a service runs on it."""

    def take(self, requests: list[Request]) -> bytes:
        """The answer that these commands would get as a batch; they are not stored."""
        submission = batch(requests)
        self._decided(submission)
        return answer(submission)


@contextmanager
def trial_connection(store: Path) -> Iterator[apsw.Connection]:
    """A connection to try an import on: to the store as it is, or to an empty one in memory if there is none.

    Raises:
        MigrationError: the file is of an older version of this program, or of another program.
    """
    if not store.exists():
        with closing(open_memory()) as connection:
            runner.up(connection)
            with write_transaction(connection):
                installed_tables.bring_up_to_date(connection)
            yield connection
        return
    with closing(open_reader(store)) as connection:
        require_own_schema(connection, store.name)
        if not all(one.applied for one in runner.status(connection)):
            raise runner.MigrationError(
                f"{store} has not the shape that this program needs", "bring it there: `hyperpage migrate up`"
            )
        connection.execute("BEGIN")
        yield connection


def batch(requests: list[Request], context: Any = None) -> Submission:
    """The commands as one submission, in which each has its own outcome."""
    return Submission(requests=list(requests), size_bytes=0, context=context, batch=True)


def answer(submission: Submission) -> bytes:
    """The body of a submission's outcome, which it must have.

    Raises:
        Refusal: none of its commands was carried out.
    """
    assert submission.outcome is not None
    if submission.outcome.refusal is not None:
        raise submission.outcome.refusal
    return submission.outcome.body


# How long to wait for a portion. It takes some tens of milliseconds, unless the disk does not respond.
ANSWER_SECONDS = 60.0
# How many times a portion is offered to a busy writer: for a minute in all.
OFFERS = 600


class ImportFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The old system's database: a path on the service's machine."""

    path: str


class RunningImport:
    """Imports a file while the service runs; one at a time."""

    def __init__(self, writer: Writer, allowed: AllowedPaths) -> None:
        self._writer = writer
        self._allowed = allowed
        self._busy = asyncio.Lock()
        self.position = 0

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The administrative verbs of imports."""
        return (AdministrationVerb(name="import.file", shape=ImportFile, carry_out=self._import),)

    async def _import(self, wish: ImportFile) -> ImportReport:
        async with self._busy:
            return await asyncio.to_thread(self._import_now, Path(wish.path))

    def _import_now(self, path: Path) -> ImportReport:
        self.position = self._writer.head.position
        try:
            source = Source(path)
            try:
                return import_all(source, self, allowed=self._allowed)
            finally:
                source.close()
        except SourceMissingError as error:
            raise NotFound(error.message) from error
        except SourceError as error:
            raise RuleViolated("not_importable", error.message, hint=error.hint) from error

    def take(self, requests: list[Request]) -> bytes:
        """The answer to these commands as a batch, once they are stored; called in a thread that may wait."""
        done = threading.Event()
        submission = batch(requests, context=done)
        for _ in range(OFFERS):
            is_taken = self._writer.submit([submission])
            outcome = submission.outcome
            if not is_taken or outcome is None or not isinstance(outcome.refusal, Busy):
                break
            # Commands of others go first between two offers, since they are few beside a whole file.
            done.wait(RETRY_AFTER_MS / 1_000)
            submission.outcome = None
        if submission.outcome is None and not done.wait(ANSWER_SECONDS):
            raise Unavailable(f"the store was not written within {ANSWER_SECONDS:g} s", hint="try again")
        return answer(submission)
