"""Makes few large segments of many small ones, so that an archive of years is some thousand files.

Encrypted segments cannot be read again here: the large one is made from the log, which has the same events.
"""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import msgspec

from ops.archive.reading import read_envelope, read_segment
from ops.archive.segment import (
    MAXIMUM_SEGMENT_BYTES,
    METADATA_SUFFIX,
    ArchivedAnswer,
    Header,
    Segment,
    list_segments,
    runs,
    segment_path,
)
from ops.archive.writing import row_lines, write_segment
from ops.targets.sealing import ENCRYPTED_SUFFIX
from ops.targets.target import Place, delete_file

# How many small ones in a row are merged. Fewer are left alone: more are about to follow.
SMALL_SEGMENTS = 64
# Size of a compressed file up to which it is small.
SMALL_BYTES = 4 * 1024 * 1024
MERGED_EVENTS = 50_000
# Level of zstd: slower and smaller, since a segment is merged once and read seldom.
LEVEL = 9


class Logged(NamedTuple):
    """Events as lines, and remembered answers; `last` and its hash are those of the last event."""

    last: int
    last_hash: str
    lines: bytes
    answers: list[ArchivedAnswer]


# Reads the log from one position to another, or to an earlier one where a segment takes no more.
ReadLog = Callable[[int, int], Logged]


def merge(folder: Place, *, recipients: tuple[str, ...] = (), read_log: ReadLog | None = None) -> int:
    """Merges where there are many small segments in a row; how many files there are fewer.

    What comes out is encrypted to `recipients`. Encrypted ones stay as they are where there is no `read_log`,
    or where the log has another history. A crash leaves the small ones beside the large one, which has the
    same events; the next call removes them.

    Raises:
        BackupError: a segment is damaged.
        OSError: the disk is full, the bucket is away.
    """
    fewer = 0
    for _, timeline in groupby(list_segments(folder), key=lambda one: one.timeline):
        segments = list(timeline)
        fewer += _remove_covered(segments)
        left = list_segments(folder, segments[0].timeline)
        while len(row := _small_in_a_row(left, merges_encrypted=read_log is not None)) >= SMALL_SEGMENTS:
            if read_log and row[0].is_encrypted:
                merged = _merge_encrypted(folder, row, recipients, read_log)
            else:
                merged = _merge(folder, row, recipients)
            if merged < 2:
                break
            fewer += merged - 1
            left = list_segments(folder, segments[0].timeline)
    return fewer


def _small_in_a_row(segments: list[Segment], *, merges_encrypted: bool) -> list[Segment]:
    """The first small segments of one kind that follow each other without a gap."""
    row: list[Segment] = []
    for one in runs(segments, segments[0].first - 1) if segments else ():
        is_small = one.size <= SMALL_BYTES and one.last - one.first + 1 <= MERGED_EVENTS // 2
        fits = is_small and (merges_encrypted or not one.is_encrypted)
        if not fits or (row and row[0].is_encrypted != one.is_encrypted):
            if len(row) >= SMALL_SEGMENTS:
                break
            row = []
        if fits:
            row.append(one)
    return row


def _merge(folder: Place, row: list[Segment], recipients: tuple[str, ...]) -> int:
    """How many became one."""
    merged: list[Segment] = []
    header: Header | None = None
    previous_hash = last_hash = ""
    lines: list[bytes] = []
    answers: list[ArchivedAnswer] = []
    size = events = 0
    for one in row:
        content = read_segment(one)
        more = row_lines(content.rows)
        if merged and (size + len(more) > MAXIMUM_SEGMENT_BYTES // 2 or events > MERGED_EVENTS):
            break
        merged.append(one)
        header = content.header
        previous_hash = previous_hash or header.previous_hash
        last_hash = content.rows[-1].hash.hex() if content.rows else last_hash or header.previous_hash
        lines.append(more)
        answers.extend(content.answers)
        size += len(more)
        events += len(content.rows)
    assert header is not None, "a row has segments"
    logged = Logged(max(one.last for one in merged), last_hash, b"".join(lines), answers)
    return _replace(folder, merged, header, previous_hash, logged, recipients)


def _merge_encrypted(
    folder: Place, row: list[Segment], recipients: tuple[str, ...], read_log: ReadLog
) -> int:
    """How many became one; 0 where the log has another history, or no more fits into one."""
    first = row[0].first
    logged = read_log(first, min(max(one.last for one in row), first + MERGED_EVENTS - 1))
    merged = [one for one in row if one.last <= logged.last]
    if len(merged) < 2:
        return 0
    newest = max(merged, key=lambda one: (one.last, one.first <= one.last))
    if newest.last < logged.last:
        logged = read_log(first, newest.last)
    envelope = read_envelope(newest)
    if envelope.last_hash != logged.last_hash:
        return 0
    previous_hash = read_envelope(row[0]).header.previous_hash
    return _replace(folder, merged, envelope.header, previous_hash, logged, recipients)


def _replace(
    folder: Place,
    merged: list[Segment],
    header: Header,
    previous_hash: str,
    logged: Logged,
    recipients: tuple[str, ...],
) -> int:
    first = merged[0].first
    suffix = ENCRYPTED_SUFFIX if recipients else ""
    path = segment_path(folder, merged[0].timeline, first, logged.last, suffix)
    write_segment(
        path,
        msgspec.structs.replace(header, first=first, last=logged.last, previous_hash=previous_hash),
        logged.lines,
        logged.answers,
        level=LEVEL,
        last_hash=logged.last_hash,
        recipients=recipients,
    )
    _remove([one for one in merged if one.place != path])
    return len(merged)


def _remove_covered(segments: list[Segment]) -> int:
    covered = [
        one
        for one in segments
        if one.first <= one.last
        and any(
            other.first <= one.first
            and one.last <= other.last
            # One of two with the same events stays.
            and ((other.first, other.last) != (one.first, one.last) or other.name < one.name)
            for other in segments
        )
    ]
    _remove(covered)
    return len(covered)


def _remove(segments: list[Segment]) -> None:
    for one in segments:
        if one.is_encrypted:
            # Removed first: without it, what is left after a crash is no segment.
            delete_file(one.place.with_name(one.name + METADATA_SUFFIX))
        delete_file(one.place)
