"""Makes few large segments of many small ones, so that an archive of years is some thousand files.

Where the log has the same history, the large segment is made from the log, which can be trusted even if the
small segments cannot. Elsewhere, segments that a trusted key has signed become a signed one, and others an
unsigned one; encrypted segments stay as they are, since they cannot be read here.
"""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import msgspec

from ops.archive.reading import read_envelope, read_segment, read_signature
from ops.archive.segment import (
    MAXIMUM_SEGMENT_BYTES,
    METADATA_SUFFIX,
    Header,
    Segment,
    list_segments,
    runs,
    segment_path,
)
from ops.archive.writing import answer_lines, row_lines, write_segment
from ops.targets.errors import BackupError
from ops.targets.sealing import ENCRYPTED_SUFFIX
from ops.targets.signing import ANYBODYS, Signing, SigningKey
from ops.targets.target import Place, delete_file

# At least this many small segments in a row are merged. Fewer are left alone, since more will follow.
SMALL_SEGMENTS = 64
# A segment is small if its compressed file has at most this size.
SMALL_BYTES = 4 * 1024 * 1024
MERGED_EVENTS = 50_000
# Level of zstd: slower and smaller, since a segment is merged once and read seldom.
LEVEL = 9


class Logged(NamedTuple):
    """Lines of events, then of answers, in pieces; with the header and last hash of their segment."""

    header: Header
    last_hash: str
    lines: list[bytes]


# Reads the log from one position to another, or to an earlier one if a segment has no room for more.
ReadLog = Callable[[int, int], Logged]


def merge(
    folder: Place,
    *,
    recipients: tuple[str, ...] = (),
    signing: Signing = ANYBODYS,
    read_log: ReadLog | None = None,
) -> int:
    """Merges many small segments in a row; the number of files that this saves.

    Merged segments are encrypted to `recipients`, and signed. Encrypted segments stay as they are if there is
    no `read_log`, or if the log has another history. A crash leaves the small segments beside the large one,
    with the same events; the next call removes them.

    Raises:
        BackupError: a segment is damaged or forged.
        OSError: the disk is full, the bucket is away.
    """
    fewer = 0
    # Old unsigned segments are merged, too.
    into = _Into(folder, recipients, msgspec.structs.replace(signing, is_required=False))
    for _, timeline in groupby(list_segments(folder), key=lambda one: one.timeline):
        segments = list(timeline)
        fewer += _remove_covered(segments, signing)
        left = list_segments(folder, segments[0].timeline)
        while len(row := _small_in_a_row(left, merges_encrypted=read_log is not None)) >= SMALL_SEGMENTS:
            merged = _merge_from_log(into, row, read_log) if read_log is not None else 0
            if merged < 2 and not row[0].is_encrypted:
                merged = _merge(into, row)
            if merged < 2:
                break
            fewer += merged - 1
            left = list_segments(folder, segments[0].timeline)
    return fewer


class _Into(NamedTuple):
    """The folder and the form of merged segments."""

    folder: Place
    recipients: tuple[str, ...]
    signing: Signing


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


def _merge(into: _Into, row: list[Segment]) -> int:
    """Merges the longest part of a row that is all signed by trusted keys, or all not; how many it merged."""
    groups = [
        (is_trusted, list(some)) for is_trusted, some in groupby(row, key=lambda one: _is_trusted(one, into))
    ]
    is_trusted, alike = max(groups, key=lambda group: len(group[1]))
    merged: list[Segment] = []
    header: Header | None = None
    previous_hash = last_hash = ""
    lines: list[bytes] = []
    answers: list[bytes] = []
    size = events = 0
    for one in alike:
        # The signature is checked again: the file may have been replaced meanwhile.
        content = read_segment(one, (), msgspec.structs.replace(into.signing, is_required=is_trusted))
        more = row_lines(content.rows)
        more_bytes = sum(map(len, more))
        if merged and (size + more_bytes > MAXIMUM_SEGMENT_BYTES // 2 or events > MERGED_EVENTS):
            break
        merged.append(one)
        header = content.header
        previous_hash = previous_hash or header.previous_hash
        last_hash = content.rows[-1].hash.hex() if content.rows else last_hash or header.previous_hash
        lines.extend(more)
        answers.extend(answer_lines(content.answers))
        size += more_bytes
        events += len(content.rows)
    assert header is not None, "a row has segments"
    if len(merged) < 2:
        return 0
    header = msgspec.structs.replace(
        header,
        first=merged[0].first,
        last=max(one.last for one in merged),
        previous_hash=previous_hash,
    )
    logged = Logged(header, last_hash, [*lines, *answers])
    return _replace(into, merged, logged, into.signing.own_key if is_trusted else None)


def _is_trusted(segment: Segment, into: _Into) -> bool:
    return read_signature(segment, into.signing).is_trusted


def _merge_from_log(into: _Into, row: list[Segment], read_log: ReadLog) -> int:
    """Merges segments of a row from the log; how many became one.

    It is 0 if the log has another history, or if fewer than two fit into one segment.
    """
    first = row[0].first
    try:
        logged = read_log(first, min(max(one.last for one in row), first + MERGED_EVENTS - 1))
        merged = [one for one in row if one.last <= logged.header.last]
        if len(merged) < 2:
            return 0
        last = max(one.last for one in merged)
        if last < logged.header.last:
            logged = read_log(first, last)
    except BackupError as error:
        if error.reason != "foreign":
            raise
        return 0
    newest = max(merged, key=lambda one: (one.last, one.first <= one.last))
    is_same = logged.header.timelines[-1][0] == newest.timeline and logged.header.last == last
    if not is_same or last_hash(newest, into.signing) != logged.last_hash:
        return 0
    return _replace(into, merged, logged, into.signing.signer())


def last_hash(segment: Segment, signing: Signing) -> str:
    """The hash of a segment's last event; of the event before the segment, if it has only answers.

    Raises:
        BackupError: the segment is damaged or forged.
    """
    if segment.is_encrypted:
        return read_envelope(segment, signing).last_hash
    content = read_segment(segment, (), signing)
    return content.rows[-1].hash.hex() if content.rows else content.header.previous_hash


def _replace(into: _Into, merged: list[Segment], logged: Logged, signer: SigningKey | None) -> int:
    header, suffix = logged.header, ENCRYPTED_SUFFIX if into.recipients else ""
    path = segment_path(into.folder, merged[0].timeline, header.first, header.last, suffix)
    write_segment(
        path,
        header,
        logged.lines,
        level=LEVEL,
        last_hash=logged.last_hash,
        recipients=into.recipients,
        signer=signer,
    )
    _remove([one for one in merged if one.place != path])
    return len(merged)


def _remove_covered(segments: list[Segment], signing: Signing) -> int:
    covered: list[Segment] = []
    # The earlier segments that reach the first event of this one. Of two equal ones, the first stays.
    reaching: list[Segment] = []
    for one in sorted(segments, key=lambda one: (one.first, -one.last, one.name)):
        if one.first > one.last:
            continue
        reaching = [other for other in reaching if other.last >= one.first]
        covering = (other for other in reaching if one.last <= other.last)
        if any(_may_replace(other, signing) for other in covering):
            covered.append(one)
        reaching.append(one)
    _remove(covered)
    return len(covered)


def _may_replace(segment: Segment, signing: Signing) -> bool:
    """Whether segments that this one covers may be deleted.

    If there is a key, a trusted one must have signed this segment: otherwise it may be forged to replace
    them.
    """
    try:
        return read_signature(segment, signing).is_trusted or signing.key_file is None
    except BackupError:
        return False


def _remove(segments: list[Segment]) -> None:
    for one in segments:
        if one.is_encrypted:
            # The metadata goes first: if a crash leaves the rest, that is no segment.
            delete_file(one.place.with_name(one.name + METADATA_SUFFIX))
        delete_file(one.place)
