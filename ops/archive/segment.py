"""A segment: some events of one timeline, in order and without a gap, in a file that nothing changes again.

    timeline-0001/events-000000000001-000000000250.jsonl.zst

Compressed lines of JSON: a header; an array for each event, its columns in the order of the table; an array
for each remembered answer; at the end the SHA-256 of all that. The header names the hash of the event before
the first, and each event's own hash follows from it, so segments vouch for each other. Behind the compressed
lines is their SHA-256 as they lie there, in a frame that programs for zstd skip.

One that is encrypted has `.age` behind its name, and beside it, written last, `<the same>.meta.json`: what
must be known of it without the key, and its checksum. Without that, there is no such segment.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec
import zstandard

from bus.log import chain
from ops.targets.bucket import BucketPath
from ops.targets.errors import BackupError
from ops.targets.sealing import (
    ENCRYPTED_SUFFIX,
    Identities,
    SealedError,
    UnsoundError,
    open_bytes,
    seal_bytes,
)
from ops.targets.target import Entry, Place, list_files, local, write_file
from ops.targets.vouching import encode_vouched, is_whole

FORMAT = 1
# Of one file, uncompressed; a segment is read into memory as a whole.
MAXIMUM_BYTES = 64 * 1024 * 1024
# Fast, and a third of the size.
LEVEL = 3
METADATA_SUFFIX = ".meta.json"

# https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md#skippable-frames
# Without it, a bit that means nothing to zstd could flip, and its own checksum be cut off.
_END_FRAME = bytes.fromhex("502a4d18") + hashlib.sha256().digest_size.to_bytes(4, "little")
_END_BYTES = len(_END_FRAME) + hashlib.sha256().digest_size

_NAME = re.compile(r"events-(\d{12})-(\d{12})(?:\.\d+)?\.jsonl\.zst(?:\.age)?")
_FOLDER = re.compile(r"timeline-(\d{4,})")

Answer = tuple[str, bytes, int, str]


class Segment(msgspec.Struct, frozen=True):
    """A segment by its name. One with only answers ends before it begins. `size` is the file's, in bytes."""

    place: Place
    timeline: int
    first: int
    last: int
    size: int = 0

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def path(self) -> Path:
        """Where it is, if that is a local file."""
        return local(self.place)

    @property
    def is_encrypted(self) -> bool:
        return self.name.endswith(ENCRYPTED_SUFFIX)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. Hashes are hexadecimal."""

    format: int = FORMAT
    store_id: str
    timelines: tuple[tuple[int, int], ...]
    first: int
    last: int
    previous_hash: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of an encrypted segment without the key."""

    format: int = FORMAT
    header: Header
    last_hash: str
    """Of its last event; where it has only answers, of the one before."""
    size: int
    checksum: str
    """SHA-256 of the file."""
    recipients: tuple[str, ...]
    metadata_checksum: str = ""


class Content(msgspec.Struct, frozen=True):
    """What a segment has."""

    header: Header
    rows: list[chain.Row]
    answers: list[Answer]


class _Trailer(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


def segment_path(folder: Place, timeline: int, first: int, last: int, suffix: str = "") -> Place:
    """Where a segment goes; with only answers, a name that is not taken. `suffix`: `.age` if encrypted."""
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
        # One listing for all of them, since each takes its time.
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


def event_lines(connection: apsw.Connection, after: int, last: int) -> bytes:
    """The lines of the events behind `after` up to `last`. SQLite makes them, without Python's lock."""
    lines: bytes | None = connection.execute(
        "SELECT CAST(group_concat(line || char(10), '') AS BLOB) FROM ("
        " SELECT json_array(position, stream, version, type, recorded_at, command_id,"
        " iif(typeof(data) = 'text', data, NULL), metadata, lower(hex(hash)),"
        " iif(typeof(data) = 'blob', hex(data), NULL)) AS line"
        " FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT -1)",
        (after, last),
    ).get
    return lines or b""


def row_lines(rows: Sequence[chain.Row]) -> bytes:
    """The same of rows that are in memory."""
    encode = msgspec.json.Encoder().encode
    return b"".join(
        encode(
            (
                *(row.position, row.stream, row.version, row.type, row.recorded_at, row.command_id),
                row.data if isinstance(row.data, str) else None,
                *(row.metadata, row.hash.hex()),
                row.data.hex() if isinstance(row.data, bytes) else None,
            )
        )
        + b"\n"
        for row in rows
    )


def write_segment(
    path: Place,
    header: Header,
    events: bytes,
    answers: Sequence[Answer],
    *,
    level: int = LEVEL,
    last_hash: str | None = None,
    recipients: tuple[str, ...] = (),
) -> None:
    """Puts a segment in its place, whole and on disk. `last_hash` is that of its last event, if it has any.

    Raises:
        OSError: the disk is full, the bucket is away.
    """
    encode = msgspec.json.Encoder().encode
    content = b"".join(
        (
            encode(header),
            b"\n",
            events,
            *(
                encode((command_id, request_hash.hex(), position, answer)) + b"\n"
                for command_id, request_hash, position, answer in answers
            ),
        )
    )
    content += encode(_Trailer(sha256=hashlib.sha256(content).hexdigest())) + b"\n"
    compressed = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)
    kept = seal_bytes(compressed + _END_FRAME + hashlib.sha256(compressed).digest(), recipients)
    write_file(path, kept)
    if recipients:
        envelope = Envelope(
            header=header,
            last_hash=header.previous_hash if last_hash is None else last_hash,
            size=len(kept),
            checksum=hashlib.sha256(kept).hexdigest(),
            recipients=recipients,
        )
        write_file(path.with_name(path.name + METADATA_SUFFIX), encode_vouched(envelope))


def read_header(segment: Segment) -> Header:
    """A segment's header, also without a key.

    Raises:
        BackupError: it is damaged, or another one than its name says.
    """
    return read_envelope(segment).header if segment.is_encrypted else read_segment(segment).header


def read_envelope(segment: Segment) -> Envelope:
    """What is known of an encrypted segment without the key.

    Raises:
        BackupError: that is damaged, or about another one than its name says.
    """
    path = segment.place.with_name(segment.name + METADATA_SUFFIX)
    try:
        content = path.read_bytes()
        _require_known_format(path.name, content)
        envelope = msgspec.json.decode(content, type=Envelope)
        whole = is_whole(content)
    except FileNotFoundError:
        raise BackupError("segment_damaged", f"{path.name} is missing") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError("segment_damaged", f"{path.name} cannot be read: {error}") from None
    if not whole:
        raise BackupError("segment_damaged", f"{path.name} was changed: its own checksum does not fit")
    _require_named(segment, envelope.header)
    return envelope


def verify_outside(segment: Segment) -> Envelope:
    """What is known of an encrypted segment, which is, byte for byte, what was written.

    Raises:
        BackupError: it is not.
    """
    envelope = read_envelope(segment)
    _require_sealed(segment, envelope, segment.place.read_bytes())
    return envelope


def read_segment(segment: Segment, identities: Identities = ()) -> Content:
    """What a segment has, which is what was written.

    Raises:
        BackupError: it is damaged, another one than its name says, or encrypted and there is no key for it.
    """
    name = segment.name
    content = _decompress(name, _opened(segment, identities))
    body, separator, trailer = content.removesuffix(b"\n").rpartition(b"\n")
    try:
        expected = msgspec.json.decode(trailer, type=_Trailer).sha256
        if not separator or hashlib.sha256(body + b"\n").hexdigest() != expected:
            raise BackupError("segment_damaged", f"{name} is damaged: its SHA-256 does not fit")
        first_line, *lines = body.split(b"\n")
        _require_known_format(name, first_line)
        header = msgspec.json.decode(first_line, type=Header)
        _require_named(segment, header)
        rows, answers = _parse(header, lines)
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise BackupError("segment_damaged", f"{name} cannot be read: {error}") from None
    _require_chain(name, header, rows)
    return Content(header, rows, answers)


def require_segment_key(segment: Segment) -> None:
    """Returns if a segment can be read without a key.

    Raises:
        BackupError: it is encrypted.
    """
    if segment.is_encrypted:
        raise BackupError(
            "encrypted",
            f"{segment.name} is encrypted, and can be read with a key alone",
            "on the command line, name the file of the secret key with --identity FILE",
        )


def _opened(segment: Segment, identities: Identities) -> bytes:
    """What is in the file, decrypted."""
    name = segment.name
    try:
        content = segment.place.read_bytes()
    except FileNotFoundError:
        # Merged meanwhile, or deleted by hand.
        raise BackupError("segment_damaged", f"{name} is missing", "try again") from None
    if not segment.is_encrypted:
        return content
    _require_sealed(segment, read_envelope(segment), content)
    if not identities:
        require_segment_key(segment)
    try:
        return open_bytes(content, identities)
    except SealedError:
        raise BackupError(
            "encrypted", f"{name} is encrypted to other keys", "name the file of one that it is encrypted to"
        ) from None
    except UnsoundError as error:
        raise BackupError("segment_damaged", f"{name} is damaged: {error}") from error


def _require_sealed(segment: Segment, envelope: Envelope, content: bytes) -> None:
    if (len(content), hashlib.sha256(content).hexdigest()) != (envelope.size, envelope.checksum):
        raise BackupError("segment_damaged", f"{segment.name} is damaged: its SHA-256 does not fit")


def _require_named(segment: Segment, header: Header) -> None:
    if (header.first, header.last, header.timelines[-1][0]) != (
        segment.first,
        segment.last,
        segment.timeline,
    ):
        raise BackupError(
            "segment_damaged",
            f"{segment.name} is another one: it has events {header.first} to {header.last} of timeline"
            f" {header.timelines[-1][0]}",
        )


def _decompress(name: str, kept: bytes) -> bytes:
    compressed, end = kept[:-_END_BYTES], kept[-_END_BYTES:]
    if end != _END_FRAME + hashlib.sha256(compressed).digest():
        raise BackupError("segment_damaged", f"{name} is damaged: its SHA-256 does not fit")
    try:
        with zstandard.ZstdDecompressor().stream_reader(compressed) as reader:
            # Who forged it might have made it as large as the memory.
            content = reader.read(2 * MAXIMUM_BYTES)
            if reader.read(1):
                raise BackupError("segment_damaged", f"{name} is larger than any segment")
            return content
    except zstandard.ZstdError as error:
        raise BackupError("segment_damaged", f"{name} is damaged: {error}") from None


def _require_known_format(name: str, line: bytes) -> None:
    found = msgspec.json.decode(line, type=dict[str, Any]).get("format")
    if found != FORMAT:
        raise BackupError("unknown_format", f"{name} is of format {found!r}, and this program reads {FORMAT}")


def _parse(header: Header, lines: list[bytes]) -> tuple[list[chain.Row], list[Answer]]:
    count = max(0, header.last - header.first + 1)
    rows = [_row(msgspec.json.decode(line)) for line in lines[:count]]
    answers = [
        (command_id, bytes.fromhex(request_hash), position, answer)
        for command_id, request_hash, position, answer in map(msgspec.json.decode, lines[count:])
    ]
    if len(rows) != count:
        raise ValueError(f"it has {len(rows)} events instead of {count}")
    return rows, answers


def _row(values: list[Any]) -> chain.Row:
    position, stream, version, type_name, recorded_at, command_id, data, metadata, digest, blob = values
    return chain.Row(
        position,
        stream,
        version,
        type_name,
        recorded_at,
        command_id,
        data if blob is None else bytes.fromhex(blob),
        metadata,
        bytes.fromhex(digest),
    )


def _require_chain(name: str, header: Header, rows: list[chain.Row]) -> None:
    previous = bytes.fromhex(header.previous_hash)
    for position, row in enumerate(rows, header.first):
        expected = chain.chain_hash(previous, *_columns(row))
        if row.position != position or row.hash != expected:
            raise BackupError("chain_broken", f"{name}: the hash chain is broken at position {position}")
        previous = expected


def _columns(row: chain.Row) -> Any:
    return msgspec.structs.astuple(row)[:-1]


def runs(segments: Sequence[Segment], after: int) -> Iterator[Segment]:
    """The segments that lead on from a position without a gap; of those that overlap, the longest.

    It ends where there is a gap, or nothing more. Segments with only answers come where they belong.
    """
    position = after
    while True:
        yield from (one for one in segments if one.first > one.last == position)
        following = [one for one in segments if one.first <= position + 1 <= one.last]
        if not following:
            return
        best = max(following, key=lambda one: one.last)
        yield best
        position = best.last
