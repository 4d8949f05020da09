"""Compares a table with what it should be, row by row.

If the disk is damaged, or the file was edited, a row may hold values that this program never writes: texts
that are not UTF-8, keys that no aggregate can have. Such a row is found, too, and can be removed.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec

from domain.messages import stream_name
from projections.table import Row
from projections.tables import OWNERS, aggregates_of, stream_column

MAXIMUM_EXAMPLES = 10


class TableReport(msgspec.Struct, kw_only=True):
    """The comparison of one table: how many rows the log has; how many are missing, unexpected, different."""

    rows: int = 0
    missing: int = 0
    unexpected: int = 0
    different: int = 0
    examples: list[Any] = msgspec.field(default_factory=list)


class Stray(msgspec.Struct, frozen=True):
    """A row with a key that no aggregate can have, so that no repair of a stream would reach it."""

    table: str
    rowid: int


def compare(
    live: apsw.Connection,
    shadow: apsw.Connection,
    name: str,
    columns: tuple[str, ...],
    wrong: dict[str, None],
) -> tuple[TableReport, list[Stray]]:
    """The comparison of a live table with the right one; `wrong` gets the streams of the rows that differ.

    Rows that no repair of a stream would reach are returned as strays.
    """
    try:
        return _compare_rows(_rows(live, name, columns), _rows(shadow, name, columns), name, wrong)
    except UnicodeDecodeError:
        # A text is not UTF-8. Reading texts as bytes works, too, but takes longer.
        return _compare_rows(
            _rows_as_bytes(live, name, columns), _rows_as_bytes(shadow, name, columns), name, wrong
        )


def remove(connection: apsw.Connection, strays: Iterable[Stray]) -> None:
    """Removes rows that belong to no stream, as part of the caller's transaction."""
    strays = list(strays)
    if strays:
        count_repair(connection)
    for stray in strays:
        key = stream_column(stray.table)
        row = connection.execute(
            f"SELECT typeof({key}), CAST({key} AS BLOB) FROM {stray.table} WHERE rowid = ?", (stray.rowid,)
        ).fetchone()
        # Checked again, as another row may have the same rowid by now.
        if row is not None and _is_stray(stray.table, _text_or_bytes(*row)):
            connection.execute(f"DELETE FROM {stray.table} WHERE rowid = ?", (stray.rowid,))


def count_repair(connection: apsw.Connection) -> None:
    """Notes in the file's header that rows change without an event, as part of the caller's transaction.

    A reader that keeps rows of an earlier copy of the file sees by this count that rows may have changed; no
    position shows it.
    """
    connection.pragma("user_version", connection.pragma("user_version") + 1)


def _compare_rows(
    live: Iterator[tuple[Any, ...]], shadow: Iterator[tuple[Any, ...]], name: str, wrong: dict[str, None]
) -> tuple[TableReport, list[Stray]]:
    """Compares rows, which come in the order of their keys and end with their rowid."""
    report = TableReport()
    strays = []
    key = OWNERS[name][1].owner_place if name in OWNERS else 0
    for expected, found in _merged(shadow, live):
        if expected is not None:
            report.rows += 1
            if found is None:
                report.missing += 1
            elif _identical(expected[:-1], found[:-1]):
                continue
            else:
                report.different += 1
            wrong[_stream_of(name, expected[key])] = None
        else:
            report.unexpected += 1
        # A row of a second table may have another owner than it should: both streams are repaired.
        if found is not None and not _is_stray(name, found[key]):
            wrong[_stream_of(name, found[key])] = None
        elif found is not None and expected is None:
            strays.append(Stray(name, found[-1]))
        if len(report.examples) < MAXIMUM_EXAMPLES:
            report.examples.append(
                {"key": _shown((expected or found or ())[:1])[0]}
                | {"expected": expected and _shown(expected[:-1]), "found": found and _shown(found[:-1])}
            )
    return report, strays


def _rows(connection: apsw.Connection, name: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    yield from connection.execute(f"SELECT {', '.join(columns)}, rowid FROM {name} ORDER BY {columns[0]}")


def _rows_as_bytes(
    connection: apsw.Connection, name: str, columns: tuple[str, ...]
) -> Iterator[tuple[Any, ...]]:
    """The same as `_rows`, with escapes (PEP 383) for bytes of a text that are not UTF-8."""
    values = ", ".join(
        f"typeof({one}), iif(typeof({one}) = 'text', CAST({one} AS BLOB), {one})" for one in columns
    )
    for *pairs, rowid in connection.execute(f"SELECT {values}, rowid FROM {name} ORDER BY {columns[0]}"):
        yield (*map(_text_or_bytes, pairs[::2], pairs[1::2]), rowid)


def _text_or_bytes(kind: str, value: Any) -> Any:
    return value.decode(errors="surrogateescape") if kind == "text" else value


def _is_stray(name: str, key: Any) -> bool:
    if not isinstance(key, str) or not key.isascii():
        return True
    table = aggregates_of(name)
    return table.row_key(table.aggregate_key(key)) != key


def _shown(row: Row) -> Row:
    """A row whose texts can be encoded as JSON."""
    return tuple(
        value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value for value in row
    )


def _merged(
    expected: Iterator[tuple[Any, ...]], found: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[Row | None, Row | None]]:
    """The rows of both sides in the order of their first column, in pairs where it is the same."""
    left, right = next(expected, None), next(found, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield left, None
            left = next(expected, None)
        elif left is None or right[0] < left[0]:
            yield None, right
            right = next(found, None)
        else:
            yield left, right
            left, right = next(expected, None), next(found, None)


def _identical(expected: Row, found: Row) -> bool:
    # The types are compared, too: 1 and 1.0 are equal for Python, but not in the file.
    return expected == found and list(map(type, expected)) == list(map(type, found))


def _stream_of(name: str, key: Any) -> str:
    table = aggregates_of(name)
    return stream_name(table.name, table.aggregate_key(key))
