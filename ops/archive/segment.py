"""A segment: some events of one timeline, in order and without a gap, in a file that nothing changes again.

    timeline-0001/events-000000000001-000000000250.jsonl.zst

Compressed lines of JSON: a header; an array for each event, its columns in the order of the table; an array
for each remembered answer; at the end the SHA-256 of all that. The header names the hash of the event before
the first, and each event's own hash follows from it, so segments vouch for each other.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec
import zstandard

from bus import log
from ops.backup.metadata import BackupError, sync_folder

FORMAT = 1
# Of one file, uncompressed; a segment is read into memory as a whole.
MAXIMUM_BYTES = 64 * 1024 * 1024
# Fast, and a third of the size.
LEVEL = 3

_NAME = re.compile(r"events-(\d{12})-(\d{12})(?:\.\d+)?\.jsonl\.zst")
_FOLDER = re.compile(r"timeline-(\d{4,})")

Answer = tuple[str, bytes, int, str]


class Segment(msgspec.Struct, frozen=True):
    """A segment by its name. One with only answers ends before it begins."""

    path: Path
    timeline: int
    first: int
    last: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. Hashes are hexadecimal."""

    format: int = FORMAT
    store_id: str
    timelines: tuple[tuple[int, int], ...]
    first: int
    last: int
    previous_hash: str


class Content(msgspec.Struct, frozen=True):
    """What a segment has."""

    header: Header
    rows: list[log.Row]
    answers: list[Answer]


class _Trailer(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


def segment_path(folder: Path, timeline: int, first: int, last: int) -> Path:
    """Where a segment goes; with only answers, a name that is not taken."""
    base = folder / f"timeline-{timeline:04d}" / f"events-{first:012d}-{last:012d}.jsonl.zst"
    path, number = base, 0
    while first > last and path.exists():
        number += 1
        path = base.with_name(base.name.replace(".jsonl", f".{number}.jsonl"))
    return path


def list_segments(folder: Path, timeline: int | None = None) -> list[Segment]:
    """The segments of an archive, or of one of its timelines, by timeline and first position."""
    found = []
    for place in folder.glob("timeline-*"):
        number = _FOLDER.fullmatch(place.name)
        if number is None or timeline not in (None, int(number[1])):
            continue
        for path in place.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                found.append(Segment(path, int(number[1]), int(match[1]), int(match[2])))
    return sorted(found, key=lambda one: (one.timeline, one.first, one.last, one.path.name))


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


def row_lines(rows: Sequence[log.Row]) -> bytes:
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
    path: Path, header: Header, events: bytes, answers: Sequence[Answer], *, level: int = LEVEL
) -> None:
    """Puts a segment in its place, whole and on disk."""
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
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(compressed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_segment(segment: Segment) -> Content:
    """What a segment has, which is what was written.

    Raises:
        BackupError: it is damaged, or another one than its name says.
    """
    name = segment.path.name
    content = _decompress(segment.path)
    body, separator, trailer = content.removesuffix(b"\n").rpartition(b"\n")
    try:
        expected = msgspec.json.decode(trailer, type=_Trailer).sha256
        if not separator or hashlib.sha256(body + b"\n").hexdigest() != expected:
            raise BackupError("segment_damaged", f"{name} is damaged: its SHA-256 does not fit")
        first_line, *lines = body.split(b"\n")
        _require_known_format(name, first_line)
        header = msgspec.json.decode(first_line, type=Header)
        if (header.first, header.last, header.timelines[-1][0]) != (
            segment.first,
            segment.last,
            segment.timeline,
        ):
            raise BackupError(
                "segment_damaged",
                f"{name} is another one: it has events {header.first} to {header.last} of timeline"
                f" {header.timelines[-1][0]}",
            )
        rows, answers = _parse(header, lines)
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise BackupError("segment_damaged", f"{name} cannot be read: {error}") from None
    _require_chain(name, header, rows)
    return Content(header, rows, answers)


def _decompress(path: Path) -> bytes:
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
            # Who forged it might have made it as large as the memory.
            content = reader.read(2 * MAXIMUM_BYTES)
            if reader.read(1):
                raise BackupError("segment_damaged", f"{path.name} is larger than any segment")
            return content
    except zstandard.ZstdError as error:
        raise BackupError("segment_damaged", f"{path.name} is damaged: {error}") from None


def _require_known_format(name: str, line: bytes) -> None:
    found = msgspec.json.decode(line, type=dict[str, Any]).get("format")
    if found != FORMAT:
        raise BackupError("unknown_format", f"{name} is of format {found!r}, and this program reads {FORMAT}")


def _parse(header: Header, lines: list[bytes]) -> tuple[list[log.Row], list[Answer]]:
    count = max(0, header.last - header.first + 1)
    rows = [_row(msgspec.json.decode(line)) for line in lines[:count]]
    answers = [
        (command_id, bytes.fromhex(request_hash), position, answer)
        for command_id, request_hash, position, answer in map(msgspec.json.decode, lines[count:])
    ]
    if len(rows) != count:
        raise ValueError(f"it has {len(rows)} events instead of {count}")
    return rows, answers


def _row(values: list[Any]) -> log.Row:
    position, stream, version, type_name, recorded_at, command_id, data, metadata, digest, blob = values
    return log.Row(
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


def _require_chain(name: str, header: Header, rows: list[log.Row]) -> None:
    previous = bytes.fromhex(header.previous_hash)
    for position, row in enumerate(rows, header.first):
        expected = log.chain_hash(previous, *_columns(row))
        if row.position != position or row.hash != expected:
            raise BackupError("chain_broken", f"{name}: the hash chain is broken at position {position}")
        previous = expected


def _columns(row: log.Row) -> Any:
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
