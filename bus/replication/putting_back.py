"""`Lacking`: the frames that a log lacks at its end, made from a file. Also what begins a term or a timeline.

A broker may lose the end of a log that it has acknowledged; the end of a log that trails may not have been
sent yet. A file that goes on after the log has all that is missing: the events, the answers that were
remembered with them, and the leases as they are now.
"""

from collections.abc import Collection, Iterator

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import Answer, last_number
from bus.log.answers_in_order import number_at, read_behind
from bus.log.cloud_events import Origin
from bus.replication.applying import Applier
from bus.replication.frame import Frame, frame_of
from bus.writing.content import Content, read_leases
from domain import jobs
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM, TimelineForked, encode_event
from domain.decider import Lease
from domain.messages import split_stream

# How many events go into one frame, how many answers, and how many bytes of either. The rest of the frame's
# last transaction comes on top of that.
FRAME_EVENTS = 2_000
FRAME_ANSWERS = 2_000
FRAME_BYTES = 8 * 1024 * 1024
# A transaction with larger answers is parted between two commands: it might not fit into a frame.
TRANSACTION_BYTES = 32 * 1024 * 1024


class Lacking:
    """The part of a file behind the end of its log, in frames of one term; used by one thread at a time.

    `answers` is the number of the last answer that the log has, `leases` are the leases that it has; None:
    that is unknown. Events and answers are not kept in memory: they are read when they are asked for.
    """

    def __init__(
        self,
        origin: Origin,
        term: int,
        before: chain.Head,
        answers: int,
        leases: dict[str, Lease] | None = None,
        *,
        trails: bool = False,
    ) -> None:
        self._origin = origin
        self._term = term
        self._answers = answers
        self._leases = leases
        self._passed_leases = False
        self._trails = trails
        self.before = before

    def next(self, connection: apsw.Connection, leases_of: Collection[str] | None = None) -> Frame | None:
        """The next frame; None if there is nothing now. `before` becomes the end of that frame.

        A file that applies the frames gets the same tables, answers and leases. A transaction is not parted,
        unless it has more than `TRANSACTION_BYTES` of answers. `connection` reads one snapshot.

        The leases compared are those of jobs with an event, and of jobs in `leases_of`; None: all leases.

        Raises:
            BrokenChainError, LostAnswerError, apsw.Error: the file is damaged.
        """
        rows, is_end = self._next_rows(connection)
        answers, number, count = self._next_answers(connection, rows)
        rows, is_end = rows[:count], is_end and count is None
        head = rows[-1].head if rows else self.before
        is_new = bool(rows or answers)
        known, changed = self._leases, dict[str, Lease | None]()
        if known is not None and is_end:
            changed = self._changed_leases(connection, known, rows, leases_of)
        # Before the end of the file, leases might be of jobs that the log does not have yet.
        self._passed_leases = not is_end
        if not is_new and not changed:
            return None
        content = Content(before=self.before, rows=rows, answers=answers, leases=changed)
        frame = frame_of(
            content,
            store_id=self._origin.store_id,
            timeline=self._origin.timeline_at(max(1, head.position)),
            term=self._term,
            trails=self._trails,
        )
        if known is None and is_end:
            leases = read_leases(connection)
            frame = msgspec.structs.replace(frame, leases=leases, all_leases=True)
            self._leases = {one.job_id: one for one in leases}
        elif known is not None:
            known.update({job_id: one for job_id, one in changed.items() if one is not None})
            for job_id in frame.ended_leases:
                del known[job_id]
        self.before, self._answers = head, number
        return frame

    def _changed_leases(
        self,
        connection: apsw.Connection,
        known: dict[str, Lease],
        rows: list[chain.Row],
        told: Collection[str] | None,
    ) -> dict[str, Lease | None]:
        if told is None or self._passed_leases:
            leases = {one.job_id: one for one in read_leases(connection)}
            looked_at = known.keys() | leases.keys()
        else:
            streams = [split_stream(row.stream) for row in rows]
            looked_at = {*told, *(job_id for table, job_id in streams if table == jobs.TABLE)}
            leases = {one.job_id: one for one in read_leases(connection, looked_at)}
        return {job_id: one for job_id in looked_at if (one := leases.get(job_id)) != known.get(job_id)}

    def _next_rows(self, connection: apsw.Connection) -> tuple[list[chain.Row], bool]:
        """The next rows, and whether there are no more."""
        rows: list[chain.Row] = []
        size_bytes = 0
        for row in chain.rows_that_follow(connection, self.before):
            # All events of a transaction have the same time. A frame is of one timeline.
            is_full = len(rows) >= FRAME_EVENTS or size_bytes >= FRAME_BYTES
            if rows and (
                (is_full and row.recorded_at != rows[-1].recorded_at) or row.type == TIMELINE_FORKED
            ):
                return rows, False
            rows.append(row)
            size_bytes += len(row.data or "")
        return rows, True

    def _next_answers(
        self, connection: apsw.Connection, rows: list[chain.Row]
    ) -> tuple[list[tuple[Answer, int]], int, int | None]:
        """The answers up to the end of the rows, the number of the last one, and None.

        If they are too many: the answers of the first rows, the number of the last one, and how many rows.
        """
        answers: list[tuple[Answer, int]] = []
        before = self.before.position
        number, reached, size_bytes = self._answers, before, 0
        for next_number, answer, events in read_behind(connection, number, before + len(rows)):
            if len(answers) >= FRAME_ANSWERS or size_bytes >= FRAME_BYTES:
                # A command that was answered at the position of the one before it led to no event.
                up_to = answer.position - 1 if answer.position > reached else answer.position
                may_part = size_bytes >= TRANSACTION_BYTES
                for count in range(up_to - before, reached - before - 1, -1):
                    if _is_between_transactions(rows, count) or (may_part and count == reached - before):
                        return answers, number, count
            answers.append((answer, events))
            number, reached = next_number, max(reached, answer.position)
            size_bytes += len(answer.answer)
        return answers, number, None


def _is_between_transactions(rows: list[chain.Row], count: int) -> bool:
    """Whether no transaction is parted after so many rows: all events of one have the same time."""
    return not 0 < count < len(rows) or rows[count - 1].recorded_at != rows[count].recorded_at


def frames_lacking(applier: Applier, position: int, term: int, *, trails: bool = False) -> Iterator[Frame]:
    """The frames that lead from a log's end, at a position of the file, to the end of the file; in order.

    All frames that the log has from that position on must have been applied (see `Reading.begin`).

    Raises:
        What `Lacking.next` does.
    """
    connection = applier.connection
    before = chain.Head()
    if position and (row := chain.read_at(connection, position)) is not None:
        before = row.head
    answers = number_at(connection, position, applier.last_answered)
    lacking = Lacking(applier.origin, term, before, answers, trails=trails)
    while (frame := lacking.next(connection)) is not None:
        yield frame


def lacking_nothing(applier: Applier, term: int) -> Lacking:
    """The `Lacking` for a term that trails, whose log has all of the file so far."""
    leases = {one.job_id: one for one in read_leases(applier.connection)}
    return Lacking(applier.origin, term, applier.head, last_number(applier.connection), leases, trails=True)


def term_of(applier: Applier, number: int, leader: str, *, trails: bool = False) -> Frame:
    """The first frame of a leader, at the end of its file."""
    return Frame(
        store_id=applier.origin.store_id,
        timeline=applier.origin.timeline,
        term=number,
        before=applier.head,
        leader=leader,
        leases=read_leases(applier.connection),
        all_leases=True,
        trails=trails,
    )


def fork_of(applier: Applier, number: int, event: TimelineForked, now_ms: int) -> Frame:
    """The frame by which a leader begins a timeline, at the end of its file."""
    name, data = encode_event(event)
    version = applier.connection.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = ?", (TIMELINE_STREAM,)
    ).get
    entry = chain.Entry(TIMELINE_STREAM, version, name, None, data.decode(), None)
    rows, _ = chain.extend(applier.head, [entry], now_ms)
    return frame_of(
        Content(before=applier.head, rows=rows),
        store_id=applier.origin.store_id,
        timeline=event.timeline,
        term=number,
    )
