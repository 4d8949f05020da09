"""Proves the tables against the log, and brings back what is wrong.

`verify` folds every stream into shadow tables in a scratch file and compares each row, all inside one read
transaction, so the service may go on meanwhile. `repair` puts the rows of given streams right in place, from
their events, in the writer's transaction: readers see the old row or the right one, and commands wait only
for one small portion at a time.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw
import msgspec

from domain.catalogue import BY_TABLE, TIMELINE_STREAM, decode_event
from domain.messages import Recorded, split_stream, stream_name
from projections import jobs
from projections.table import Row, Table, upsert_rows
from projections.tables import TABLES

HISTORY = "job_history"
MAXIMUM_EXAMPLES = 10
_BATCH_STREAMS = 1_000


class Difference(msgspec.Struct, frozen=True):
    """A row that is not what the log says. `expected` or `found` is `None` where there is no such row."""

    table: str
    key: Any
    stream: str
    expected: Row | None
    found: Row | None


class TableReport(msgspec.Struct, kw_only=True):
    """How one table compares: `rows` by the log, and how many of them are missing, unexpected, different."""

    rows: int = 0
    missing: int = 0
    unexpected: int = 0
    different: int = 0
    examples: list[Any] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, kw_only=True):
    """What `verify` found at `position`."""

    position: int
    tables: dict[str, TableReport]
    streams: list[str]
    """The streams of which at least one row is wrong."""

    @property
    def equal(self) -> bool:
        return not self.streams


class _Folded(msgspec.Struct, frozen=True):
    """A stream's rows as its events make them."""

    table: Table
    key: str
    row: Row | None
    history: list[Row]


def verify(connection: apsw.Connection, scratch: Path) -> Report:
    """Compares every row of the tables with the log, as of the moment of the call.

    `connection` only reads; `scratch` is a file that is made and left to the caller to remove.
    """
    shadow = apsw.Connection(str(scratch))
    # It is thrown away: nothing of it needs to survive.
    shadow.pragma("journal_mode", "off")
    shadow.pragma("synchronous", "off")
    try:
        connection.execute("BEGIN")
        report = Report(
            position=connection.execute("SELECT max(position) FROM events").get or 0, tables={}, streams=[]
        )
        _make_tables(connection, shadow)
        _fill(connection, shadow)
        wrong: dict[str, None] = {}
        for name, columns in _all_columns().items():
            report.tables[name] = _compare(connection, shadow, name, columns, wrong)
        report.streams = list(wrong)
        return report
    finally:
        shadow.close()
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def repair(connection: apsw.Connection, streams: Iterable[str]) -> int:
    """Puts the rows of these streams right, and answers with how many streams there were.

    The caller's transaction holds; nothing is committed here.
    """
    count = 0
    for stream in streams:
        table, key = split_stream(stream)
        _put_right(connection, _fold(TABLES[table], key, _events(connection, stream)))
        count += 1
    return count


def _all_columns() -> dict[str, tuple[str, ...]]:
    columns = {name: table.columns for name, table in TABLES.items()}
    return columns | {HISTORY: jobs.HISTORY_COLUMNS}


def _make_tables(connection: apsw.Connection, shadow: apsw.Connection) -> None:
    # The live definitions, so that affinities and defaults are the same.
    for name in _all_columns():
        shadow.execute(connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).get)


def _fill(connection: apsw.Connection, shadow: apsw.Connection) -> None:
    shadow.execute("BEGIN")
    batch: list[_Folded] = []
    for folded in _fold_all(connection):
        batch.append(folded)
        if len(batch) == _BATCH_STREAMS:
            _insert(shadow, batch)
            batch = []
    _insert(shadow, batch)
    shadow.execute("COMMIT")


def _insert(shadow: apsw.Connection, batch: list[_Folded]) -> None:
    for name, columns in _all_columns().items():
        rows: list[Row] = []
        for one in batch:
            if name == HISTORY:
                rows.extend(one.history)
            elif one.table.name == name and one.row is not None:
                rows.append(one.row)
        upsert_rows(shadow, name, columns, rows)


def _fold_all(connection: apsw.Connection) -> Iterator[_Folded]:
    rows = connection.execute(
        "SELECT stream, position, version, type, recorded_at, data FROM events ORDER BY stream, version"
    )
    for stream, events in groupby(rows, key=lambda row: str(row[0])):
        table, key = split_stream(stream)
        # What other applications keep in the log has no tables here.
        if table in TABLES and stream != TIMELINE_STREAM:
            yield _fold(TABLES[table], key, (_recorded(key, row) for row in events))


def _events(connection: apsw.Connection, stream: str) -> Iterator[Recorded]:
    _, key = split_stream(stream)
    for row in connection.execute(
        "SELECT stream, position, version, type, recorded_at, data FROM events"
        " WHERE stream = ? ORDER BY version",
        (stream,),
    ):
        yield _recorded(key, row)


def _recorded(key: str, row: tuple[Any, ...]) -> Recorded:
    _, position, version, type_name, recorded_at, data = row
    return Recorded(position, key, version, recorded_at, decode_event(type_name, data))


def _fold(table: Table, key: str, events: Iterable[Recorded]) -> _Folded:
    evolve = BY_TABLE[table.name].evolve
    state = None
    version = position = 0
    history: dict[int, Row] = {}
    for recorded in events:
        before, state = state, evolve(state, recorded)
        version, position = recorded.version, recorded.position
        if table is jobs.TABLE:
            row = jobs.history_row(before, state, recorded.event, recorded.recorded_at)
            if row is not None:
                history[row[0]] = row
    final = None if state is None else table.row(state, version, position)
    return _Folded(table, key, final, list(history.values()) if final is not None else [])


def _put_right(connection: apsw.Connection, folded: _Folded) -> None:
    table = folded.table
    key = table.row_key(folded.key)
    if folded.row is None:
        connection.execute(f"DELETE FROM {table.name} WHERE {table.primary_key} = ?", (key,))
    else:
        upsert_rows(connection, table.name, table.columns, [folded.row])
    if table is jobs.TABLE:
        connection.execute(f"DELETE FROM {HISTORY} WHERE job_id = ?", (folded.key,))
        upsert_rows(connection, HISTORY, jobs.HISTORY_COLUMNS, folded.history)


def _compare(
    live: apsw.Connection,
    shadow: apsw.Connection,
    name: str,
    columns: tuple[str, ...],
    wrong: dict[str, None],
) -> TableReport:
    report = TableReport(rows=shadow.execute(f"SELECT count(*) FROM {name}").get)
    statement = f"SELECT {', '.join(columns)} FROM {name} ORDER BY {columns[0]}"
    for expected, found in _merged(iter(shadow.execute(statement)), iter(live.execute(statement))):
        if expected is None:
            report.unexpected += 1
        elif found is None:
            report.missing += 1
        elif _identical(expected, found):
            continue
        else:
            report.different += 1
        row = expected or found
        assert row is not None
        wrong[_stream_of(name, row)] = None
        # A job_history row may have changed its job: both are put right.
        if found is not None:
            wrong[_stream_of(name, found)] = None
        if len(report.examples) < MAXIMUM_EXAMPLES:
            report.examples.append({"key": row[0], "expected": expected, "found": found})
    return report


def _merged(
    expected: Iterator[tuple[Any, ...]], found: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[Row | None, Row | None]]:
    """Both sides in the order of their first column, rows with the same one together."""
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
    # Byte for byte: Python holds 1 and 1.0 for equal, the file does not.
    return expected == found and list(map(type, expected)) == list(map(type, found))


def _stream_of(name: str, row: Row) -> str:
    if name == HISTORY:
        return stream_name(jobs.TABLE.name, row[1])
    return stream_name(name, TABLES[name].aggregate_key(row[0]))
