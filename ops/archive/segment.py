"""A segment: some events of one timeline, in order and without a gap, in a file that never changes again.

    timeline-0001/events-000000000001-000000000250.jsonl.zst

Compressed lines of JSON: a header; an array for each event, its columns in the order of the table; an array
for each remembered answer; at the end the SHA-256 of all that. The header has the hash of the event before
the first, and each event's own hash follows from it, so segments vouch for each other. Behind the compressed
lines are two frames that programs for zstd skip. The first has a public key and the signature, made with it,
of the SHA-256 of the compressed lines and of the segment's name. The second has the SHA-256 of all before it.
So both are checked before anything is decompressed.

The name of an encrypted segment ends in `.age`. Beside it is `<the same>.meta.json`, written last, with the
facts that must be known without the key, the checksum and the signature. Without it, no listing has the
segment.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from bus.log import chain
from bus.log.answers import Answer
from ops.targets.bucket import BucketPath
from ops.targets.documents import Hash, Whole
from ops.targets.sealing import ENCRYPTED_SUFFIX
from ops.targets.signing import Signature
from ops.targets.target import Entry, KeptFile, Place, list_files

FORMAT = 1
# Limit of one segment, uncompressed, since it is read into memory as a whole.
MAXIMUM_SEGMENT_BYTES = 64 * 1024 * 1024
METADATA_SUFFIX = ".meta.json"

# https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md#skippable-frames
# Without this frame, a flip of a bit that zstd ignores would go unnoticed, and so would a cut-off checksum.
END_FRAME = bytes.fromhex("502a4d18") + hashlib.sha256().digest_size.to_bytes(4, "little")
END_BYTES = len(END_FRAME) + hashlib.sha256().digest_size
# The frame before that, in signed segments: 32 bytes of the public key, and 64 of the signature.
SIGNATURE_FRAME = bytes.fromhex("532a4d18") + (32 + 64).to_bytes(4, "little")
SIGNATURE_FRAME_BYTES = len(SIGNATURE_FRAME) + 32 + 64

_NAME = re.compile(r"events-([0-9]{12})-([0-9]{12})(?:\.[0-9]+)?\.jsonl\.zst(?:\.age)?")
# At most 15 digits, so that SQLite can still count on from the number of any folder.
_FOLDER = re.compile(r"timeline-([0-9]{4,15})")


class Segment(KeptFile, frozen=True):
    """A segment, by its name. `last` is before `first` if it has only answers. `size` is in bytes."""

    timeline: int
    first: int
    last: int
    size: int = 0

    @property
    def is_encrypted(self) -> bool:
        return self.name.endswith(ENCRYPTED_SUFFIX)


def signed_name(place: Place) -> str:
    """The name under which a segment is signed: its timeline's folder and its file name."""
    return f"{place.parent.name}/{place.name}"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a segment. Hashes are hexadecimal."""

    format: int = FORMAT
    store_id: str
    timelines: Annotated[tuple[tuple[Whole, Whole], ...], msgspec.Meta(min_length=1)]
    first: Whole
    last: Whole
    previous_hash: Hash


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The facts about an encrypted segment that are kept beside it, unencrypted."""

    format: int = FORMAT
    header: Header
    last_hash: Hash
    """Of its last event; where it has only answers, of the one before."""
    size: Whole
    checksum: Hash
    """SHA-256 of the file."""
    recipients: tuple[str, ...]
    metadata_checksum: str = ""


class SegmentContent(msgspec.Struct, frozen=True):
    """The content of a segment."""

    header: Header
    rows: list[chain.Row]
    answers: list[Answer]
    signature: Signature = Signature()


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a segment: the SHA-256 of all lines before it."""

    sha256: str


def segment_path(folder: Place, timeline: int, first: int, last: int, suffix: str = "") -> Place:
    """The place of a segment; a free name if it has only answers. `suffix` is `.age` if it is encrypted."""
    place = folder / f"timeline-{timeline:04d}"
    base = f"events-{first:012d}-{last:012d}"
    path, number = place / f"{base}.jsonl.zst{suffix}", 0
    while first > last and path.exists():
        number += 1
        path = place / f"{base}.{number}.jsonl.zst{suffix}"
    return path


def list_segments(folder: Place, timeline: int | None = None) -> list[Segment]:
    """The segments of an archive, or of one of its timelines, by timeline and first position.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    found = []
    for number, entries in _timelines(folder, timeline):
        described = {one.name for one in entries if one.name.endswith(METADATA_SUFFIX)}
        for one in entries:
            match = _NAME.fullmatch(one.name)
            if match is None:
                continue
            segment = Segment(one.path, number, int(match[1]), int(match[2]), one.size)
            if not segment.is_encrypted or one.name + METADATA_SUFFIX in described:
                found.append(segment)
    return sorted(found, key=lambda one: (one.timeline, one.first, one.last, one.name))


def _timelines(folder: Place, timeline: int | None) -> Iterator[tuple[int, list[Entry]]]:
    """The files of each timeline, or of one."""
    if isinstance(folder, BucketPath):
        # One listing for all timelines, since listings of a bucket are slow.
        by_number: dict[int, list[Entry]] = {}
        below = folder if timeline is None else folder / f"timeline-{timeline:04d}"
        for path, size, tag in below.files():
            match = _FOLDER.fullmatch(path.parent.name)
            if match is not None and path.parent.parent == folder:
                by_number.setdefault(int(match[1]), []).append(Entry(path, size, tag))
        yield from by_number.items()
        return
    for place in folder.glob("timeline-*"):
        match = _FOLDER.fullmatch(place.name)
        if match is not None and timeline in (None, int(match[1])):
            yield int(match[1]), list_files(place)


def runs(segments: Sequence[Segment], after: int) -> Iterator[Segment]:
    """The segments that lead on from a position, up to the first gap or the end.

    Of overlapping segments, the one that reaches furthest is taken. A segment with only answers comes as soon
    as its position is reached.
    """
    only_answers: dict[int, list[Segment]] = {}
    for one in segments:
        if one.first > one.last:
            only_answers.setdefault(one.last, []).append(one)
    # One pass over all segments: an archive may have many, and forged ones among them.
    left = deque(sorted((one for one in segments if one.first <= one.last), key=lambda one: one.first))
    position, furthest = after, None
    while True:
        yield from only_answers.get(position, ())
        while left and left[0].first <= position + 1:
            one = left.popleft()
            if furthest is None or one.last > furthest.last:
                furthest = one
        if furthest is None or furthest.last <= position:
            return
        yield furthest
        position = furthest.last
