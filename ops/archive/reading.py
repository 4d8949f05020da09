"""Reads segments, and says what is wrong with one: `read_segment`; `read_envelope` works without a key."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import zstandard

from bus.log import chain
from bus.log.answers import Answer
from ops.archive.segment import (
    END_BYTES,
    END_FRAME,
    FORMAT,
    MAXIMUM_SEGMENT_BYTES,
    METADATA_SUFFIX,
    SIGNATURE_FRAME,
    SIGNATURE_FRAME_BYTES,
    Envelope,
    Header,
    Segment,
    SegmentContent,
    Trailer,
    signed_name,
)
from ops.targets.bucket import MAXIMUM_READ_BYTES
from ops.targets.documents import Whole, decode_document, decoder_of
from ops.targets.errors import BackupError
from ops.targets.regular_files import REFUSED
from ops.targets.sealing import Identities, SealedError, UnsoundError, open_bytes
from ops.targets.signing import ANYBODYS, Signature, Signing, require_accepted
from ops.targets.target import MAXIMUM_METADATA_BYTES, Place, read_whole
from ops.targets.vouching import is_whole, split_signature

# The lines as `ops.archive.writing` writes them, limited to values that SQLite can hold.
_EventLine = tuple[Whole, str, Whole, str, Whole, str | None, str | None, str | None, str, str | None]
_event: Callable[[bytes], _EventLine] = decoder_of(_EventLine)
_answer: Callable[[bytes], tuple[str, str, int, str]] = decoder_of(tuple[str, str, Whole, str])


def read_header(segment: Segment, signing: Signing = ANYBODYS) -> Header:
    """A segment's header, which can be read without a key.

    Raises:
        BackupError: the segment is damaged, does not fit its name, or is not signed as required.
    """
    if segment.is_encrypted:
        return read_envelope(segment, signing).header
    return read_segment(segment, (), signing).header


def read_envelope(segment: Segment, signing: Signing = ANYBODYS) -> Envelope:
    """The envelope of an encrypted segment, which can be read without a key.

    Raises:
        BackupError: the envelope is damaged, does not fit the segment's name, or is not signed as required.
    """
    return _read_envelope(segment, signing)[0]


def verify_sealed(segment: Segment, signing: Signing = ANYBODYS) -> tuple[Envelope, Signature]:
    """The envelope and the signature of an encrypted segment whose file is as it was written, byte for byte.

    Raises:
        BackupError: the file or the envelope is damaged, or not signed as required.
    """
    envelope, signature = _read_envelope(segment, signing)
    _require_sealed(segment, envelope, _read_bytes(segment))
    return envelope, signature


def read_signature(segment: Segment, signing: Signing) -> Signature:
    """The signature of a segment, checked without a key and without decompressing anything.

    Raises:
        BackupError: the segment is damaged, or not signed as required.
    """
    if segment.is_encrypted:
        return _read_envelope(segment, signing)[1]
    return _compressed(segment, _read_bytes(segment), signing)[1]


def read_segment(
    segment: Segment, identities: Identities = (), signing: Signing = ANYBODYS
) -> SegmentContent:
    """The content of a segment, checked against its checksum and its hash chain.

    Raises:
        BackupError: the segment is damaged, does not fit its name, is not signed as required, or is encrypted
            and there is no key for it.
    """
    name = segment.name
    compressed, signature = _opened(segment, identities, signing)
    content = _decompress(name, compressed)
    body, separator, trailer = content.removesuffix(b"\n").rpartition(b"\n")
    try:
        expected = decode_document(trailer, Trailer).sha256
        if not separator or hashlib.sha256(body + b"\n").hexdigest() != expected:
            raise BackupError("segment_damaged", f"{name} is damaged: its SHA-256 does not fit")
        first_line, *lines = body.split(b"\n")
        _require_known_format(name, first_line)
        header = decode_document(first_line, Header)
        _require_named(segment, header)
        rows, answers = _parse(header, lines)
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise BackupError("segment_damaged", f"{name} cannot be read: {error}") from None
    _require_chain(name, header, rows)
    return SegmentContent(header, rows, answers, signature)


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


def _read(place: Place, most_bytes: int) -> bytes:
    try:
        return read_whole(place, most_bytes)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise BackupError("segment_damaged", f"{place.name} cannot be read: {error.strerror}") from error


def _read_envelope(segment: Segment, signing: Signing) -> tuple[Envelope, Signature]:
    path = segment.place.with_name(segment.name + METADATA_SUFFIX)
    try:
        content = _read(path, MAXIMUM_METADATA_BYTES)
    except FileNotFoundError:
        raise BackupError("segment_damaged", f"{path.name} is missing") from None
    content, signature = split_signature(content, signing, "segment metadata", signed_name(segment.place))
    try:
        _require_known_format(path.name, content)
        envelope = decode_document(content, Envelope)
        whole = is_whole(content)
    except msgspec.DecodeError as error:
        raise BackupError("segment_damaged", f"{path.name} cannot be read: {error}") from None
    if not whole:
        raise BackupError("segment_damaged", f"{path.name} was changed: its own checksum does not fit")
    require_accepted(segment.name, signature)
    _require_named(segment, envelope.header)
    return envelope, signature


def _read_bytes(segment: Segment) -> bytes:
    try:
        return _read(segment.place, MAXIMUM_READ_BYTES)
    except FileNotFoundError:
        # The segment was merged meanwhile, or deleted by hand.
        raise BackupError("segment_damaged", f"{segment.name} is missing", "try again") from None


def _opened(segment: Segment, identities: Identities, signing: Signing) -> tuple[bytes, Signature]:
    """The compressed lines, decrypted, and their signature."""
    name = segment.name
    content = _read_bytes(segment)
    if not segment.is_encrypted:
        return _compressed(segment, content, signing)
    envelope, signature = _read_envelope(segment, signing)
    _require_sealed(segment, envelope, content)
    if not identities:
        require_segment_key(segment)
    try:
        return _unframed(name, open_bytes(content, identities)), signature
    except SealedError:
        raise BackupError(
            "encrypted", f"{name} is encrypted to other keys", "name the file of one that it is encrypted to"
        ) from None
    except UnsoundError as error:
        raise BackupError("segment_damaged", f"{name} is damaged: {error}") from error


def _compressed(segment: Segment, kept: bytes, signing: Signing) -> tuple[bytes, Signature]:
    """The compressed lines of a segment that is not encrypted, and their signature."""
    content = _unframed(segment.name, kept)
    frame = content[-SIGNATURE_FRAME_BYTES:]
    signature = signing.unsigned()
    if frame.startswith(SIGNATURE_FRAME):
        content = content[:-SIGNATURE_FRAME_BYTES]
        signed = frame.removeprefix(SIGNATURE_FRAME)
        digest = hashlib.sha256(content).digest()
        signature = signing.check("segment", signed_name(segment.place), digest, signed[:32], signed[32:])
    require_accepted(segment.name, signature)
    return content, signature


def _unframed(name: str, kept: bytes) -> bytes:
    """A file's content without the checksum at its end, which was found to fit."""
    content, end = kept[:-END_BYTES], kept[-END_BYTES:]
    if end != END_FRAME + hashlib.sha256(content).digest():
        raise BackupError("segment_damaged", f"{name} is damaged: its SHA-256 does not fit")
    return content


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


def _decompress(name: str, compressed: bytes) -> bytes:
    try:
        with zstandard.ZstdDecompressor().stream_reader(compressed) as reader:
            # A forged segment could decompress to more than the memory.
            content = reader.read(2 * MAXIMUM_SEGMENT_BYTES)
            if reader.read(1):
                raise BackupError("segment_damaged", f"{name} is larger than any segment")
            return content
    except zstandard.ZstdError as error:
        raise BackupError("segment_damaged", f"{name} is damaged: {error}") from None


def _require_known_format(name: str, line: bytes) -> None:
    found = decode_document(line, dict[str, Any]).get("format")
    if found != FORMAT:
        raise BackupError("unknown_format", f"{name} is of format {found!r}, and this program reads {FORMAT}")


def _parse(header: Header, lines: list[bytes]) -> tuple[list[chain.Row], list[Answer]]:
    count = max(0, header.last - header.first + 1)
    rows = [_row(_event(line)) for line in lines[:count]]
    answers = [
        Answer(command_id, bytes.fromhex(request_hash), position, answer)
        for command_id, request_hash, position, answer in map(_answer, lines[count:])
    ]
    if len(rows) != count:
        raise ValueError(f"it has {len(rows)} events instead of {count}")
    return rows, answers


def _row(values: _EventLine) -> chain.Row:
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
        expected = chain.chain_hash(previous, *msgspec.structs.astuple(row)[:-1])
        if row.position != position or row.hash != expected:
            raise BackupError("chain_broken", f"{name}: the hash chain is broken at position {position}")
        previous = expected
