"""Tells whether an archive is what was written: `verify_archive` reads all of it."""

import msgspec

from ops.archive.reading import read_envelope, read_segment, verify_outside
from ops.archive.segment import Segment, list_segments, runs
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import Identities
from ops.targets.target import Place


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much was read, and the damage, by the name of the segment (or the place of a gap)."""

    segments: int
    timelines: int
    unread: int
    """How many are encrypted, and were compared by their checksums alone."""
    damage: dict[str, str]

    @property
    def is_sound(self) -> bool:
        return not self.damage


def verify_archive(
    folder: Place, identities: Identities = (), *, progress: Progress = ignore_progress
) -> ArchiveReport:
    """Reads every segment, and checks that each leads on to the next; also while the service writes.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    segments = list_segments(folder)
    damage: dict[str, str] = {}
    ends: dict[str, tuple[str, str]] = {}
    for number, one in enumerate(segments):
        progress("archive", number, len(segments))
        try:
            ends[one.name] = _ends(one, identities)
        except BackupError as error:
            # One that is gone was merged meanwhile: a larger one has its events.
            if one.place.exists():
                damage[one.name] = error.message
    for timeline in {one.timeline for one in segments}:
        own = [one for one in segments if one.timeline == timeline]
        damage |= _breaks(timeline, own, ends)
    return ArchiveReport(
        segments=len(segments),
        timelines=len({one.timeline for one in segments}),
        unread=sum(one.is_encrypted for one in segments) if not identities else 0,
        damage=damage,
    )


def _ends(segment: Segment, identities: Identities) -> tuple[str, str]:
    """The hash before a segment's first event, and that of its last."""
    if segment.is_encrypted:
        verify_outside(segment)
        envelope = read_envelope(segment)
        if identities:
            read_segment(segment, identities)
        return envelope.header.previous_hash, envelope.last_hash
    content = read_segment(segment)
    previous = content.header.previous_hash
    return previous, content.rows[-1].hash.hex() if content.rows else previous


def _breaks(timeline: int, segments: list[Segment], ends: dict[str, tuple[str, str]]) -> dict[str, str]:
    """The places where the segments of a timeline do not lead on."""
    found: dict[str, str] = {}
    start, end = min(one.first for one in segments) - 1, max(one.last for one in segments)
    position, last_hash = start, ""
    for one in runs(segments, start):
        position = max(position, one.last)
        previous, own = ends.get(one.name, ("", ""))
        if previous and last_hash and previous != last_hash:
            found[one.name] = f"{one.name} does not follow from position {one.first - 1}"
        last_hash = own if one.first <= one.last else last_hash
    if position < end:
        found[f"timeline {timeline}"] = f"event {position + 1} of timeline {timeline} is missing"
    return found
