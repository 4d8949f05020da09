"""What a log lacks at its end, out of a file that has it: `frames_lacking`; a leader's first one: `term_of`.

A broker may lose the end of what it has acknowledged. A file that goes on behind it has all that was there:
its events, the answers that were remembered with them, and, as they are now, the leases.
"""

import msgspec

from bus.log import chain
from bus.log.answers import Answer, read_since
from bus.replication.applying import Applier
from bus.replication.frame import Frame, frame_of
from bus.writing.content import Content, read_leases

# How many events go into one frame, and all that were recorded at the time of the last one.
FRAME_EVENTS = 2_000


def frames_lacking(applier: Applier, position: int, term: int) -> list[Frame]:
    """The frames that lead from a log's end, at a position of the file, to the end of the file; in order.

    Whoever lacks some of it comes to the same tables, answers and leases by them. All that the log has from
    that position on has been applied (see `Reading.begin`). A transaction is never parted.

    Raises:
        BrokenChainError, LostAnswerError, apsw.Error: the file is damaged.
    """
    answers = read_since(applier.connection, position, applier.last_answered)
    before = chain.Head()
    if position and (row := chain.read_at(applier.connection, position)) is not None:
        before = row.head
    frames: list[Frame] = []
    rows: list[chain.Row] = []
    for row in chain.rows_that_follow(applier.connection, before):
        # All events of a transaction have one time.
        if len(rows) >= FRAME_EVENTS and row.recorded_at != rows[-1].recorded_at:
            frames.append(_frame(applier, term, before, rows, answers))
            before, rows = rows[-1].head, []
        rows.append(row)
    if rows or answers:
        last = _frame(applier, term, before, rows, answers)
        frames.append(msgspec.structs.replace(last, leases=read_leases(applier.connection), all_leases=True))
    return frames


def term_of(applier: Applier, number: int, leader: str) -> Frame:
    """The first frame of a leader, at the end of its file."""
    return Frame(
        store_id=applier.store_id,
        timeline=applier.timeline,
        term=number,
        before=applier.head,
        leader=leader,
        leases=read_leases(applier.connection),
        all_leases=True,
    )


def _frame(
    applier: Applier, term: int, before: chain.Head, rows: list[chain.Row], answers: list[tuple[Answer, int]]
) -> Frame:
    """The frame of some events, and of the answers up to there, which are taken out of `answers`."""
    end = rows[-1].position if rows else before.position
    count = sum(answer.position <= end for answer, _ in answers)
    content = Content(before=before, rows=rows, answers=answers[:count])
    del answers[:count]
    return frame_of(content, store_id=applier.store_id, timeline=applier.timeline, term=term)
