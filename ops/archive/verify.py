"""Checks that an archive is still as it was written: `verify_archive` reads all of it."""

from collections import Counter

import msgspec

from ops.archive.reading import read_segment, read_signature, verify_sealed
from ops.archive.segment import Segment, list_segments, runs
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signature, Signing
from ops.targets.target import Place


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of what was read, and the damage, by the name of the segment (or the place of a gap)."""

    segments: int
    timelines: int
    unread: int
    """How many are encrypted, and were compared by their checksums alone."""
    damage: dict[str, str]
    signatures: dict[str, int]
    """How many segments are whose, in words: `signed by ed25519:…`, `unsigned`."""
    ends: dict[int, int]
    """The last position of each timeline: what is missing behind it, nothing here can tell."""

    @property
    def is_sound(self) -> bool:
        return not self.damage


def verify_archive(
    folder: Place,
    identities: Identities = (),
    *,
    signing: Signing = ANYBODYS,
    progress: Progress = ignore_progress,
) -> ArchiveReport:
    """The result of reading every segment, and checking that each follows from the one before.

    The service may write meanwhile.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    segments = list_segments(folder)
    damage: dict[str, str] = {}
    ends: dict[Segment, tuple[str, str]] = {}
    signatures: Counter[str] = Counter()
    for number, one in enumerate(segments):
        progress("archive", number, len(segments))
        try:
            previous, last, signature = _ends(one, identities, signing)
            ends[one] = previous, last
            signatures[str(signature)] += 1
        except BackupError as error:
            # A segment that is gone was merged meanwhile: a larger one has its events.
            if one.place.exists():
                damage[one.name] = error.message
                if error.reason in ("forged", "unsigned", "untrusted"):
                    signatures[_whose(one, signing)] += 1
    for timeline in {one.timeline for one in segments}:
        own = [one for one in segments if one.timeline == timeline]
        damage |= _breaks(timeline, own, ends)
    return ArchiveReport(
        segments=len(segments),
        timelines=len({one.timeline for one in segments}),
        unread=sum(one.is_encrypted for one in segments) if not identities else 0,
        damage=damage,
        signatures=dict(signatures),
        ends={
            timeline: max(one.last for one in segments if one.timeline == timeline)
            for timeline in {one.timeline for one in segments}
        },
    )


def _ends(segment: Segment, identities: Identities, signing: Signing) -> tuple[str, str, Signature]:
    """The hash before a segment's first event, the hash of its last event, and its signature."""
    if segment.is_encrypted:
        envelope, signature = verify_sealed(segment, signing)
        if identities:
            read_segment(segment, identities, signing)
        return envelope.header.previous_hash, envelope.last_hash, signature
    content = read_segment(segment, (), signing)
    previous = content.header.previous_hash
    return previous, content.rows[-1].hash.hex() if content.rows else previous, content.signature


def _whose(segment: Segment, signing: Signing) -> str:
    """The signature of a refused segment, in words."""
    try:
        return str(read_signature(segment, msgspec.structs.replace(signing, is_required=False)))
    except BackupError as error:
        return error.reason


def _breaks(timeline: int, segments: list[Segment], ends: dict[Segment, tuple[str, str]]) -> dict[str, str]:
    """The breaks in a timeline: segments that do not follow from the one before, and the first gap."""
    found: dict[str, str] = {}
    start, end = min(one.first for one in segments) - 1, max(one.last for one in segments)
    position, last_hash = start, ""
    for one in runs(segments, start):
        position = max(position, one.last)
        previous, own = ends.get(one, ("", ""))
        if previous and last_hash and previous != last_hash:
            found[one.name] = f"{one.name} does not follow from position {one.first - 1}"
        last_hash = own if one.first <= one.last else last_hash
    if position < end:
        found[f"timeline {timeline}"] = f"event {position + 1} of timeline {timeline} is missing"
    return found
