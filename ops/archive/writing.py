"""Writes segments: `write_segment`, from lines that SQLite makes, or from rows in memory."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import apsw
import msgspec
import zstandard

from bus.log.answers import Answer
from bus.log.chain import Row
from ops.archive.segment import (
    END_FRAME,
    METADATA_SUFFIX,
    SIGNATURE_FRAME,
    Envelope,
    Header,
    Trailer,
    signed_name,
)
from ops.targets.sealing import seal_bytes
from ops.targets.signing import SigningKey
from ops.targets.target import Place, write_file
from ops.targets.vouching import add_signature, encode_vouched

# Level of zstd: fast, and a third of the size.
LEVEL = 3


# The number of lines made at once: all lines of a segment together would be in memory several times.
_LINES_AT_ONCE = 1_000


def event_lines(connection: apsw.Connection, after: int, last: int) -> list[bytes]:
    """The lines of the events behind `after` up to `last`, in pieces."""
    ends = range(after + _LINES_AT_ONCE, last + _LINES_AT_ONCE, _LINES_AT_ONCE)
    return [_event_lines(connection, end - _LINES_AT_ONCE, min(end, last)) for end in ends]


def _event_lines(connection: apsw.Connection, after: int, last: int) -> bytes:
    """The lines as one piece, which SQLite makes without holding Python's lock."""
    lines: bytes | None = connection.execute(
        "SELECT CAST(group_concat(line || char(10), '') AS BLOB) FROM ("
        " SELECT json_array(position, stream, version, type, recorded_at, command_id,"
        " iif(typeof(data) = 'text', data, NULL), metadata, lower(hex(hash)),"
        " iif(typeof(data) = 'blob', hex(data), NULL)) AS line"
        " FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT -1)",
        (after, last),
    ).get
    return lines or b""


def row_lines(rows: Iterable[Row]) -> list[bytes]:
    """The same lines, from rows in memory."""
    return list(
        _lines(
            (
                *(row.position, row.stream, row.version, row.type, row.recorded_at, row.command_id),
                row.data if isinstance(row.data, str) else None,
                *(row.metadata, row.hash.hex()),
                row.data.hex() if isinstance(row.data, bytes) else None,
            )
            for row in rows
        )
    )


def answer_lines(answers: Iterable[Answer]) -> Iterator[bytes]:
    """The lines of remembered answers, in pieces; in a segment, they follow those of the events."""
    return _lines((one.command_id, one.request_hash.hex(), one.position, one.answer) for one in answers)


def _lines(values: Iterable[Any]) -> Iterator[bytes]:
    encode, waiting = msgspec.json.Encoder().encode, iter(values)
    while piece := b"".join(encode(one) + b"\n" for one in islice(waiting, _LINES_AT_ONCE)):
        yield piece


def write_segment(
    path: Place,
    header: Header,
    lines: Iterable[bytes],
    answers: Iterable[Answer] = (),
    *,
    level: int = LEVEL,
    last_hash: str | None = None,
    recipients: tuple[str, ...] = (),
    signer: SigningKey | None = None,
) -> None:
    """Puts a segment in its place, whole and on disk, signed by `signer`.

    `lines` are the lines of its events, or of its events and answers; the lines of `answers` follow them.
    `last_hash` is the hash of its last event, if it has any.

    Raises:
        OSError: the disk is full, the bucket is away.
    """
    encode, checksum = msgspec.json.Encoder().encode, hashlib.sha256()
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    pieces = []
    for piece in chain((encode(header) + b"\n",), lines, answer_lines(answers)):
        checksum.update(piece)
        pieces.append(compressor.compress(piece))
    pieces.append(compressor.compress(encode(Trailer(sha256=checksum.hexdigest())) + b"\n"))
    compressed = b"".join((*pieces, compressor.flush()))
    if signer is not None and not recipients:
        signature = signer.sign("segment", signed_name(path), hashlib.sha256(compressed).digest())
        compressed += SIGNATURE_FRAME + signer.public_bytes + signature
    kept = seal_bytes(compressed + END_FRAME + hashlib.sha256(compressed).digest(), recipients)
    write_file(path, kept)
    if recipients:
        envelope = Envelope(
            header=header,
            last_hash=header.previous_hash if last_hash is None else last_hash,
            size=len(kept),
            checksum=hashlib.sha256(kept).hexdigest(),
            recipients=recipients,
        )
        described = add_signature(encode_vouched(envelope), signer, "segment metadata", signed_name(path))
        write_file(path.with_name(path.name + METADATA_SUFFIX), described)
