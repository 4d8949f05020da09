"""Makes few large segments of many small ones, so that an archive of years is some thousand files."""

from itertools import groupby
from pathlib import Path

from ops.archive.segment import (
    MAXIMUM_BYTES,
    Content,
    Header,
    Segment,
    list_segments,
    read_segment,
    row_lines,
    runs,
    segment_path,
    write_segment,
)
from ops.backup.metadata import sync_folder

# Fewer are left alone: they are being added to.
SMALL_SEGMENTS = 64
# Of one file, compressed: what is larger is left as it is.
SMALL_BYTES = 4 * 1024 * 1024
MERGED_EVENTS = 50_000
# Merged once and read seldom.
LEVEL = 9


def merge(folder: Path) -> int:
    """Merges where there are many small segments in a row; how many files there are fewer.

    A crash leaves the small ones beside the large one, which has the same events; the next call removes them.
    """
    fewer = 0
    for _, timeline in groupby(list_segments(folder), key=lambda one: one.timeline):
        segments = list(timeline)
        fewer += _remove_covered(segments)
        while len(row := _small_in_a_row(folder, segments[0].timeline)) >= SMALL_SEGMENTS:
            fewer += _merge(folder, row)
    return fewer


def _small_in_a_row(folder: Path, timeline: int) -> list[Segment]:
    """The first small segments that follow each other without a gap."""
    segments = list_segments(folder, timeline)
    row: list[Segment] = []
    for one in runs(segments, segments[0].first - 1) if segments else ():
        if one.path.stat().st_size > SMALL_BYTES or one.last - one.first + 1 > MERGED_EVENTS // 2:
            if len(row) >= SMALL_SEGMENTS:
                break
            row = []
        else:
            row.append(one)
    return row


def _merge(folder: Path, row: list[Segment]) -> int:
    contents: list[tuple[Segment, Content, bytes]] = []
    size = events = 0
    for one in row:
        content = read_segment(one)
        lines = row_lines(content.rows)
        if contents and (size + len(lines) > MAXIMUM_BYTES // 2 or events > MERGED_EVENTS):
            break
        contents.append((one, content, lines))
        size += len(lines)
        events += len(content.rows)
    merged = [one for one, _, _ in contents]
    last = max(one.last for one in merged)
    header = contents[-1][1].header
    path = segment_path(folder, merged[0].timeline, merged[0].first, last)
    write_segment(
        path,
        Header(
            store_id=header.store_id,
            timelines=header.timelines,
            first=merged[0].first,
            last=last,
            previous_hash=contents[0][1].header.previous_hash,
        ),
        b"".join(lines for _, _, lines in contents),
        [answer for _, content, _ in contents for answer in content.answers],
        level=LEVEL,
    )
    _remove([one for one in merged if one.path != path])
    return len(merged) - 1


def _remove_covered(segments: list[Segment]) -> int:
    covered = [
        one
        for one in segments
        if one.first <= one.last
        and any(
            other.first <= one.first and one.last <= other.last and other.path != one.path
            for other in segments
        )
    ]
    _remove(covered)
    return len(covered)


def _remove(segments: list[Segment]) -> None:
    for one in segments:
        one.path.unlink(missing_ok=True)
    if segments:
        sync_folder(segments[0].path.parent)
