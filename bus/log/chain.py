"""The log itself: rows of the `events` table, chained by their hashes.

Everything is appended by `extend` and `insert`, in a write transaction of the caller. So positions have no
gap, times never go back, and every hash vouches for all rows before it.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any

import apsw
import msgspec

from migrations.rows import insert_rows

GENESIS_HASH = bytes(32)

_COLUMNS = "position, stream, version, type, recorded_at, command_id, data, metadata, hash"
_LENGTH = struct.Struct(">Q").pack
_NULL = b"N" + _LENGTH(0)
# Type and length of short values, made once: eight of them go into every hash.
_HEADS = 1024
_TEXT_HEADS = [b"T" + _LENGTH(length) for length in range(_HEADS)]
_INTEGER_HEADS = [b"I" + _LENGTH(length) for length in range(21)]


class Head(msgspec.Struct, frozen=True):
    """The end of the log: the last position (0 when empty), its hash and its time in milliseconds."""

    position: int = 0
    hash: bytes = GENESIS_HASH
    recorded_at: int = 0


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of `events`, in the order of its columns."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: int
    command_id: str | None
    data: str | bytes | None
    metadata: str | None
    hash: bytes

    @property
    def head(self) -> Head:
        """The end of a log of which this is the last row."""
        return Head(self.position, self.hash, self.recorded_at)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event that is to be appended: a row without its place."""

    stream: str
    version: int
    type: str
    command_id: str | None
    data: str | bytes | None
    metadata: str | None


class BrokenChainError(RuntimeError):
    """A row's hash is not the one that its content and the row before it give; `position` says which."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the hash chain is broken at position {position}: the log was changed after it was written"
        )
        self.position = position


def chain_hash(
    previous: bytes,
    position: int,
    stream: str,
    version: int,
    type_name: str,
    recorded_at: int,
    command_id: str | None,
    data: str | bytes | None,
    metadata: str | None,
) -> bytes:
    """SHA-256 over the previous hash, then each column as a type byte, its length and its bytes."""
    return sha256(
        b"".join(
            (
                previous,
                _integer(position),
                _text(stream),
                _integer(version),
                _repeated(type_name),
                _repeated(recorded_at),
                _NULL if command_id is None else _text(command_id),
                _NULL if data is None else _blob(data) if isinstance(data, bytes) else _text(data),
                _NULL if metadata is None else _text(metadata),
            )
        )
    ).digest()


def extend(head: Head, entries: Iterable[Entry], now: int) -> tuple[list[Row], Head]:
    """The rows that append `entries` after `head`, at `now` or the head's later time, and the new head."""
    position, previous = head.position, head.hash
    recorded_at = max(now, head.recorded_at)
    rows = []
    for entry in entries:
        position += 1
        previous = chain_hash(
            previous,
            position,
            entry.stream,
            entry.version,
            entry.type,
            recorded_at,
            entry.command_id,
            entry.data,
            entry.metadata,
        )
        rows.append(
            Row(
                position,
                entry.stream,
                entry.version,
                entry.type,
                recorded_at,
                entry.command_id,
                entry.data,
                entry.metadata,
                previous,
            )
        )
    return rows, (Head(position, previous, recorded_at) if rows else head)


def follows(before: Row | None, row: Row) -> bool:
    """Whether a row's hash follows from its content and the row before it; `None` before the first."""
    previous = GENESIS_HASH if before is None else before.hash
    return chain_hash(previous, *msgspec.structs.astuple(row)[:-1]) == row.hash


def insert(connection: apsw.Connection, rows: Iterable[Row]) -> None:
    """Writes rows that `extend` made; the caller's transaction must have begun before it read the head.

    Raises:
        apsw.ConstraintError: a stream already has an event with that version.
    """
    insert_rows(connection, "INSERT INTO events", map(msgspec.structs.astuple, rows))


def read_head(connection: apsw.Connection) -> Head:
    """The end of the log as this connection sees it."""
    row = connection.execute(
        "SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1"
    ).fetchone()
    return Head(*row) if row else Head()


def end_of_next(connection: apsw.Connection, after: int, *, most: int, most_bytes: int) -> int | None:
    """The last position of the next events that follow `after`; `None` at the end of the log.

    They are at most `most`, and their data have at most `most_bytes`, unless there is only one.
    """
    while True:
        last, size_bytes = connection.execute(
            "SELECT max(position), sum(octet_length(data))"
            " FROM (SELECT position, data FROM events WHERE position > ? ORDER BY position LIMIT ?)",
            (after, most),
        ).fetchone()  # type: ignore[misc]  # an aggregate has one row
        if last is None or last == after + 1 or (size_bytes or 0) <= most_bytes:
            return last  # type: ignore[no-any-return]
        most = (last - after) // 2


def read_at(connection: apsw.Connection, position: int) -> Row | None:
    """The row at a position."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM events WHERE position = ?", (position,)).fetchone()
    return Row(*row) if row else None


def read_stream(
    connection: apsw.Connection,
    stream: str,
    *,
    after_version: int = 0,
    up_to_position: int | None = None,
    up_to_version: int | None = None,
) -> Iterator[Row]:
    """A stream's rows in order, after a version, and up to a position or a version."""
    # Positions in a stream grow with its versions, so the index on (stream, version) gives the order.
    for row in connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE stream = ? AND version > ? AND version <= ? AND position <= ?"
        " ORDER BY version",
        (stream, after_version, or_last(up_to_version), or_last(up_to_position)),
    ):
        yield Row(*row)


def has_stream(connection: apsw.Connection, stream: str) -> bool:
    """Whether a stream has any event."""
    return connection.execute("SELECT 1 FROM events WHERE stream = ? LIMIT 1", (stream,)).get is not None


def position_at(connection: apsw.Connection, time_ms: int) -> int:
    """The last position recorded at or before a time (0 before the first).

    Times never decrease along the log, and positions have no gap: a binary search by primary key.
    """
    low, high = 0, read_head(connection).position
    while low < high:
        middle = (low + high + 1) // 2
        if connection.execute("SELECT recorded_at FROM events WHERE position = ?", (middle,)).get <= time_ms:
            low = middle
        else:
            high = middle - 1
    return low


def verify_chain(connection: apsw.Connection, start: Head | None = None, *, limit: int | None = None) -> Head:
    """Recomputes every hash after `start`, or the next `limit`, and answers with the head that it came to.

    Raises:
        BrokenChainError: a row does not follow from the one before it, a position is missing, or a row stands
            before the first.
    """
    start = start or Head()
    position, recorded_at, previous = start.position, start.recorded_at, start.hash
    for row in _following(connection, start, limit):
        position, recorded_at, previous = row[0], row[4], row[8]
    return Head(position, previous, recorded_at)


def rows_that_follow(connection: apsw.Connection, start: Head) -> Iterator[Row]:
    """The rows after `start`, each of which follows from the one before it by its hash.

    Raises:
        BrokenChainError: the next one does not.
    """
    return (Row(*row) for row in _following(connection, start, None))


def _following(connection: apsw.Connection, start: Head, limit: int | None) -> Iterator[tuple[Any, ...]]:
    position, previous = start.position, start.hash
    lowest = connection.execute("SELECT min(position) FROM events").get
    if lowest is not None and lowest < 1:
        raise BrokenChainError(lowest)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?",
        (start.position, -1 if limit is None else limit),
    )
    try:
        for row in rows:
            # Only text, bytes or nothing is ever written; the column's type ANY would hold a number, too.
            if row[0] != position + 1 or isinstance(row[6], int | float):
                raise BrokenChainError(position + 1)
            expected = chain_hash(previous, *row[:-1])
            if expected != row[-1]:
                raise BrokenChainError(position + 1)
            yield row
            position, previous = row[0], expected
    except (UnicodeDecodeError, TypeError, AttributeError) as error:
        # A text was damaged, perhaps on the disk, or the value is no text any more.
        raise BrokenChainError(position + 1) from error


def or_last(bound: int | None) -> int:
    """The bound for SQL; if there is none, a number beyond every version and position."""
    return 2**63 - 1 if bound is None else bound


def _integer(value: int) -> bytes:
    digits = b"%d" % value
    return _INTEGER_HEADS[len(digits)] + digits


def _text(value: str) -> bytes:
    encoded = value.encode()
    length = len(encoded)
    return (_TEXT_HEADS[length] if length < _HEADS else b"T" + _LENGTH(length)) + encoded


# These are cached: types are few, and all events of a group have the same time.
@lru_cache(maxsize=256)
def _repeated(value: str | int) -> bytes:
    return _integer(value) if isinstance(value, int) else _text(value)


def _blob(value: bytes) -> bytes:
    return b"B" + _LENGTH(len(value)) + value
