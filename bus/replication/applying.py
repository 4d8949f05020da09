"""`Applier`: brings a file forward by the frames of a log. Its tables get the same rows as the leader's file.

New rows must follow from the file's rows by their hashes. Rows that the file has already are compared and
passed over, so a log may be read again from any place before its end. If the file remembers another answer
than the log has, that of the log replaces it.
"""

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import Answer, Answers
from bus.log.answers_in_order import replace_answer
from bus.log.cloud_events import Origin
from bus.log.states import to_recorded
from bus.replication.frame import Frame
from bus.replication.history import History, fork_of_row
from bus.replication.log_stream import LogStreamError
from bus.writing.aggregates import Aggregates
from bus.writing.content import Content, WrittenTables, write
from domain.catalogue import BY_TABLE, TIMELINE_FORKED, UnknownEventTypeError
from domain.decider import Lease
from domain.messages import split_stream
from migrations.connection import write_transaction
from migrations.rows import insert_rows


class NewerEventError(LogStreamError):
    """A newer version of this program has written an event that this one does not know."""


# How many events go into one transaction at most, when a follower is far behind.
TRANSACTION_EVENTS = 2_000


class Applier:
    """Applies frames to one store's file. `connection` is the one that writes; used from one thread.

    The `origin` of the file's events is kept up to date.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        projections: WrittenTables,
        origin: Origin,
        *,
        cache_capacity: int = 10_000,
        cache_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.connection = connection
        self._projections = projections
        self.origin = origin
        self._aggregates = Aggregates(connection, capacity=cache_capacity, maximum_bytes=cache_bytes)
        self._answers = Answers(connection)
        self.head = chain.read_head(connection)
        self.history = History(connection, origin)
        # The command id of the last answer in the frames applied since `Reading.begin`, new or known.
        self.last_answered: str | None = None

    def apply(self, frames: Sequence[Frame]) -> list[chain.Row]:
        """The rows that were added by these frames, in order; all of it is on disk when this returns.

        Raises:
            DivergedLogError: the file has other events than the log. OutdatedFileError: events between them
                are missing, or the log was begun anew. AnotherStoresLogError: a frame is of another store.
            NewerEventError: this version does not know an event of one of them; none was stored.
            apsw.Error: nothing was stored.
        """
        added: list[chain.Row] = []
        try:
            with write_transaction(self.connection):
                answers: dict[str, tuple[Answer, int]] = {}
                head, last_answered = self.head, self.last_answered
                timelines = self.origin.timelines
                for frame in frames:
                    timelines = self.history.require_following(head, timelines, frame)
                    content = frame.content
                    rows = [row for row in content.rows if row.position > head.position]
                    self._evolve(rows)
                    for job_id in self._other_leases(content) if frame.all_leases else ():
                        self._aggregates.set_lease(job_id, None)
                    for job_id, lease in content.leases.items():
                        self._aggregates.set_lease(job_id, lease)
                    for answer, events in content.answers:
                        answers.setdefault(answer.command_id, (answer, events))
                        last_answered = answer.command_id
                    if rows:
                        head = rows[-1].head
                        added += rows
                self._write(added, answers)
        except BaseException:
            self._aggregates.undo_all()
            raise
        self._aggregates.settle()
        self._answers.settle()
        self.head, self.last_answered = head, last_answered
        if timelines != self.origin.timelines:
            self.origin.timelines = timelines
        return added

    def _other_leases(self, content: Content) -> set[str]:
        """The jobs that have a lease now, and none in the content that is applied."""
        kept = {job_id for (job_id,) in self.connection.execute("SELECT job_id FROM job_leases")}
        return (kept | self._aggregates.changed_leases().keys()) - content.leases.keys()

    def _write(self, rows: list[chain.Row], answers: dict[str, tuple[Answer, int]]) -> None:
        for command_id, own in self._answers.recall(answers).items():
            theirs, _ = answers.pop(command_id)
            if own != theirs:
                # This member led, and was lost before it sent this answer to the log. A later leader has
                # answered the command since.
                replace_answer(self.connection, own, theirs)
        leases: dict[str, Lease | None] = self._aggregates.changed_leases()
        content = Content(before=self.head, rows=rows, answers=list(answers.values()), leases=leases)
        forks = [row for row in rows if row.type == TIMELINE_FORKED]
        # Timelines come first: answers name the timeline of their events.
        insert_rows(self.connection, "INSERT OR IGNORE INTO timelines", [fork_of_row(row) for row in forks])
        write(self.connection, self._projections, self._aggregates, self._answers, content)

    def _evolve(self, rows: Iterable[chain.Row]) -> None:
        for row in rows:
            table, key = split_stream(row.stream)
            # Other streams, of applications of the library or of the log itself, have no tables here.
            if table in BY_TABLE:
                before = self._aggregates.get(table, key)
                try:
                    recorded = to_recorded(row)
                except (UnknownEventTypeError, msgspec.MsgspecError) as error:
                    # The hashes of the row fit, so it is as it was written.
                    raise NewerEventError(
                        f"{error}, at position {row.position}: a newer version has written it",
                        "update this one",
                    ) from error
                self._aggregates.apply(table, row.stream, before, recorded)
