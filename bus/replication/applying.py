"""Brings a file forward by the frames of a log: the same rows in every table as the leader's file has.

Rows must follow from those that are there by their hashes. What the file has already is compared and passed
over, so a log may be read again from anywhere before its end.
"""

from collections.abc import Iterable, Sequence

import apsw

from bus.log import chain
from bus.log.answers import Answer, Answers
from bus.log.states import to_recorded
from bus.replication.frame import Frame
from bus.replication.log_stream import (
    AnotherStoresLogError,
    DivergedLogError,
    EarlierTimelineError,
    GapError,
    LaterTimelineError,
    LogStreamError,
)
from bus.writing.aggregates import Aggregates
from bus.writing.content import Content, WrittenTables, write
from domain.catalogue import BY_TABLE, UnknownEventTypeError
from domain.decider import Lease
from domain.messages import split_stream
from migrations.connection import write_transaction


class NewerEventError(LogStreamError):
    """A newer version has written what this one does not know."""


# How many events go into one transaction at most, when a follower is far behind.
TRANSACTION_EVENTS = 2_000


class Applier:
    """Applies frames to one store's file. `connection` is the one that writes; used from one thread."""

    def __init__(
        self,
        connection: apsw.Connection,
        projections: WrittenTables,
        *,
        store_id: str,
        timeline: int,
        cache_capacity: int = 10_000,
        cache_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.connection = connection
        self._projections = projections
        self.store_id = store_id
        self.timeline = timeline
        self._aggregates = Aggregates(connection, capacity=cache_capacity, maximum_bytes=cache_bytes)
        self._answers = Answers(connection)
        self.head = chain.read_head(connection)
        # The id of the last answer in what was applied, known before or not, since reading was begun.
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
                for frame in frames:
                    content = self._require_following(head, frame)
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
        return added

    def _other_leases(self, content: Content) -> set[str]:
        """The jobs that have a lease now, and none in what is applied."""
        kept = {job_id for (job_id,) in self.connection.execute("SELECT job_id FROM job_leases")}
        return (kept | self._aggregates.changed_leases().keys()) - content.leases.keys()

    def _write(self, rows: list[chain.Row], answers: dict[str, tuple[Answer, int]]) -> None:
        for known in self._answers.recall(answers):
            del answers[known]
        leases: dict[str, Lease | None] = self._aggregates.changed_leases()
        content = Content(before=self.head, rows=rows, answers=list(answers.values()), leases=leases)
        write(self.connection, self._projections, self._aggregates, self._answers, content)

    def _require_following(self, head: chain.Head, frame: Frame) -> Content:
        """What a frame brings, if the file may have it behind `head`, or has it already."""
        if frame.store_id != self.store_id:
            raise AnotherStoresLogError(
                f"the log has events of the store {frame.store_id}, and this one is {self.store_id}",
                "only the user of the relay may have the right to publish there",
            )
        self.require_timeline(frame.timeline)
        if not self._agrees(head, frame):
            raise DivergedLogError(
                f"the log has other events than this file, from position {frame.before.position} on",
                "stop this one, and have its file made anew with `hyperpage cluster reseed`: the old one is"
                " kept, and its events that the log lacks are told",
            )
        return frame.content

    def require_timeline(self, timeline: int) -> None:
        """Returns if the log, which is of that timeline, is of the file's.

        Raises:
            EarlierTimelineError, LaterTimelineError: it is not.
        """
        if timeline < self.timeline:
            raise EarlierTimelineError(
                f"the log is of timeline {timeline}, and this file was restored to {self.timeline}",
                "once a member with such a file leads, the log is begun anew; until then, no other may lead",
            )
        if timeline > self.timeline:
            raise LaterTimelineError(
                f"the log is of timeline {timeline}, and this file of {self.timeline}",
                "the leader was restored: at the next start, the file is made anew",
            )

    def _agrees(self, head: chain.Head, frame: Frame) -> bool:
        """Whether the hashes of a frame fit those of the file, where both know them."""
        before = frame.before.position
        if before > head.position:
            raise GapError(
                f"the log goes on at position {before}, and this file ends at {head.position}",
                "at the next start, the file is made anew of a newer backup, or of the archive",
            )
        previous = self._hash_at(before, head)
        if previous is not None and previous != frame.before.hash:
            return False
        previous = frame.before.hash
        for position, row in enumerate(frame.rows, before + 1):
            if row[0] != position or chain.chain_hash(previous, *row[:-1]) != row[-1]:
                return False
            previous = row[-1]
        known = min(frame.last, head.position)
        return known <= before or frame.rows[known - before - 1][-1] == self._hash_at(known, head)

    def _hash_at(self, position: int, head: chain.Head) -> bytes | None:
        if position == head.position:
            return head.hash
        if position == 0:
            return chain.GENESIS_HASH
        row = chain.read_at(self.connection, position)
        return None if row is None else row.hash

    def _evolve(self, rows: Iterable[chain.Row]) -> None:
        for row in rows:
            table, key = split_stream(row.stream)
            # Others are of applications of the library, or of the log itself: they have no tables here.
            if table in BY_TABLE:
                before = self._aggregates.get(table, key)
                try:
                    recorded = to_recorded(row)
                except UnknownEventTypeError as error:
                    raise NewerEventError(
                        f"{error}, at position {row.position}: a newer version has written it",
                        "update this one",
                    ) from error
                self._aggregates.apply(table, row.stream, before, recorded)
