"""Appends the events and answers of segments to a store's file: `replay`."""

from collections.abc import Collection, Sequence

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import take_over
from migrations.connection import write_transaction
from ops.archive.reading import read_header, read_segment
from ops.archive.segment import Header, Segment, SegmentContent, list_segments, runs
from ops.archive.timelines import Timelines, history_of
from ops.targets.errors import BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signature, Signing
from ops.targets.target import Place


def reach(folder: Place, signing: Signing = ANYBODYS) -> tuple[str, Timelines, int] | None:
    """How far an archive goes: the store, the newest history and its last position; `None` if it is empty.

    Raises:
        BackupError: all segments of the newest timeline are damaged, or not signed as required.
        OSError: the folder cannot be read, or the bucket is away.
    """
    timeline, last = ends(folder)
    if not timeline:
        return None
    header = _history_header(list_segments(folder, timeline), signing)
    return header.store_id, header.timelines, last


def ends(folder: Place) -> tuple[int, int]:
    """The newest timeline of an archive and its last position, by the file names; zeros if it is empty."""
    return max(((one.timeline, one.last) for one in list_segments(folder)), default=(0, 0))


def _history_header(segments: Sequence[Segment], signing: Signing) -> Header:
    """A header with the history that led to a timeline, from the last of its segments that can be read."""
    damage: BackupError | None = None
    for one in sorted(segments, key=lambda one: one.last, reverse=True):
        try:
            return read_header(one, signing)
        except BackupError as error:
            damage = damage or error
    assert damage is not None, "a timeline has segments"
    hint = "a backup can still be restored by its name (`hyperpage backup list`)"
    raise BackupError(damage.reason, damage.message, hint)


class Stretch(msgspec.Struct, frozen=True):
    """A segment, and the position up to which it belongs to a history; behind it, another timeline begins."""

    segment: Segment
    until: int


def stretches_between(folder: Place, timelines: Timelines, after: int, position: int) -> list[Stretch]:
    """The stretches that lead from behind `after` to `position` along a history.

    Raises:
        BackupError: the archive has a gap there.
    """
    chosen: list[Stretch] = []
    at = after
    for timeline, first, end in history_of(timelines, position):
        if at >= end:
            continue
        for segment in runs(list_segments(folder, timeline), max(at, first - 1)):
            chosen.append(Stretch(segment, end))
            at = max(at, segment.last)
            if at >= end:
                break
        if at < end:
            raise BackupError(
                "unreachable_moment",
                f"the archive {folder} lacks event {at + 1} of timeline {timeline}",
                f"choose a position up to {at}",
            )
        at = end
    return chosen


def leading_on(
    folder: Place, timelines: Timelines, after: int, without: Collection[str] = ()
) -> list[Stretch]:
    """The stretches from behind `after` along a history, up to its end or the first gap.

    `without` has the places of segments that are passed over.
    """
    chosen: list[Stretch] = []
    at = after
    for timeline, first, end in history_of(timelines):
        if at >= end:
            continue
        segments = [one for one in list_segments(folder, timeline) if str(one.place) not in without]
        for segment in runs(segments, max(at, first - 1)):
            chosen.append(Stretch(segment, end))
            at = max(at, segment.last)
            if at >= end:
                break
        if at < end:
            break
        at = end
    return chosen


def late_answers(folder: Place, timelines: Timelines, position: int) -> list[Stretch]:
    """All segments that may have answers of `position`, at which `timelines` end.

    The answer to a command that changes nothing is remembered at the position of the last event, and archived
    later.
    """
    return [
        Stretch(segment, position)
        for segment in list_segments(folder, timelines[-1][0] if timelines else None)
        if segment.first <= position + 1 and position <= segment.last
    ]


def position_at(
    folder: Place,
    timelines: Timelines,
    after: int,
    time_ms: int,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
) -> int:
    """The last position of a history, `after` or later, whose event was recorded at or before a time."""
    found = after
    for timeline, first, end in history_of(timelines):
        if found >= end:
            continue
        for segment in runs(list_segments(folder, timeline), max(found, first - 1)):
            for row in read_segment(segment, identities, signing).rows:
                if row.position > end:
                    break
                if row.recorded_at > time_ms:
                    return found
                found = max(found, row.position)
    return found


def replay(
    connection: apsw.Connection,
    stretch: Stretch,
    store_id: str,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
) -> Signature:
    """Appends the stretch's events behind the log's head, and its answers; the signature of the segment.

    Raises:
        BackupError: the segment is damaged, another store's, does not follow from the log, is not signed as
            required, or is encrypted and there is no key for it.
    """
    segment = stretch.segment
    content = read_segment(segment, identities, signing)
    if content.header.store_id != store_id:
        raise BackupError(
            "foreign", f"{segment.name} is of store {content.header.store_id}, not of {store_id}"
        )
    with write_transaction(connection):
        _append(connection, segment, content, stretch.until)
    return content.signature


def _append(connection: apsw.Connection, segment: Segment, content: SegmentContent, until: int) -> None:
    head = chain.read_head(connection)
    rows = [row for row in content.rows if head.position < row.position <= until]
    if rows:
        before = (
            content.header.previous_hash
            if rows[0].position == segment.first
            else content.rows[rows[0].position - segment.first - 1].hash.hex()
        )
        if rows[0].position != head.position + 1 or before != head.hash.hex():
            raise BackupError("chain_broken", f"{segment.name} does not follow from position {head.position}")
        chain.insert(connection, rows)
    answers = [one for one in content.answers if one.position <= until]
    take_over(connection, answers)
