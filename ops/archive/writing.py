"""Writes segments: `write_segment`, of lines that SQLite makes or that are made of rows."""

import hashlib
from collections.abc import Sequence

import apsw
import msgspec
import zstandard

from bus.log import chain
from bus.log.answers import Answer
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
    """The same lines, of rows that are in memory."""
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
    signer: SigningKey | None = None,
) -> None:
    """Puts a segment in its place, whole and on disk, signed by `signer`.

    `last_hash` is that of its last event, if it has any.

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
    content += encode(Trailer(sha256=hashlib.sha256(content).hexdigest())) + b"\n"
    compressed = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)
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
