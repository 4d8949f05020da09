"""The destinations of an import: a stopped store's file, or a trial, in which nothing is stored."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from bus.log import chain
from bus.writing.aggregates import Aggregates
from bus.writing.group import Group
from bus.writing.submission import Request, Submission
from domain.credentials.scanning import AllowedPaths
from domain.errors import Unavailable
from migrations import runner
from migrations.connection import open_memory, open_reader, write_transaction
from ops.store.tables import Tables


class StoppedStore:
    """The file of a stopped service; each portion is one transaction, on disk when it is answered.

    The same group of commands as the writer's, but with nothing of what a running service does beside: no
    job is rescued, timed out or made by a schedule while nobody is there to work on it.
    """

    def __init__(self, connection: apsw.Connection, allowed: AllowedPaths, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._allowed = allowed
        self._clock = clock
        self._head = chain.read_head(connection)
        self._timeline = int(connection.execute("SELECT max(timeline) FROM timelines").get or 1)
        self.position = self._head.position

    def take(self, requests: list[Request]) -> bytes:
        """The answer to these commands as a batch; they are stored.

        Raises:
            Unavailable: the store cannot be written.
        """
        submission = batch(requests)
        try:
            with write_transaction(self._connection):
                group = self._decided(submission)
                rows = group.write()
        except apsw.Error as error:
            raise Unavailable(f"the store could not be written: {error}") from error
        if rows:
            self._head = chain.Head(rows[-1].position, rows[-1].hash, rows[-1].recorded_at)
        return answer(submission)

    def _decided(self, submission: Submission) -> Group:
        # New ones for each portion, so that imported states do not stay in memory.
        aggregates = Aggregates(self._connection)
        now = max(self._clock(), self._head.recorded_at)
        group = Group(aggregates, Tables(), self._connection, self._head, now, self._timeline, self._allowed)
        group.decide([submission])
        return group


class Trial(StoppedStore):
    """A store that is only read, also beside a running service: what would become of the rows."""

    def take(self, requests: list[Request]) -> bytes:
        """The answer to these commands as a batch; they are not stored."""
        submission = batch(requests)
        self._decided(submission)
        return answer(submission)


@contextmanager
def trial_connection(store: Path) -> Iterator[apsw.Connection]:
    """A store to try an import on: the file as it is, or an empty one in memory where there is none.

    Raises:
        MigrationError: the file is of an older version of this program, or another's.
    """
    if not store.exists():
        with closing(open_memory()) as connection:
            runner.up(connection)
            yield connection
        return
    with closing(open_reader(store)) as connection:
        if not all(one.applied for one in runner.status(connection)):
            raise runner.MigrationError(
                f"{store} has not the shape that this program needs", "bring it there: `hyperpage migrate up`"
            )
        connection.execute("BEGIN")
        yield connection


def batch(requests: list[Request], context: Any = None) -> Submission:
    """These commands as one submission, of which each has its own outcome."""
    return Submission(requests=list(requests), size_bytes=0, context=context, batch=True)


def answer(submission: Submission) -> bytes:
    """The body of the outcome of a submission that has one.

    Raises:
        Refusal: none of it was carried out.
    """
    assert submission.outcome is not None
    if submission.outcome.refusal is not None:
        raise submission.outcome.refusal
    return submission.outcome.body
