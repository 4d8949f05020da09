"""Proves the tables against the log, and repairs rows that are wrong.

`verify` folds every stream into shadow tables in a scratch file and compares each row. It does so inside one
read transaction, so the service may go on meanwhile. `repair` corrects the rows of some streams, in the
writer's transaction: readers see the old row or the right one, and commands wait for one small portion at a
time. It takes the rows that `verify` made, and makes those again whose streams have new events by then.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import closing, contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import apsw
import msgspec

from domain.catalogue import BY_TABLE, TIMELINE_STREAM, decode_event
from domain.messages import Recorded, split_stream, stream_name
from projections.comparison import Stray, TableReport, compare, count_repair
from projections.table import Row, Table, upsert_rows
from projections.tables import OWNERS, TABLE_COLUMNS, TABLES

_BATCH_STREAMS = 1_000
_EVENTS = "SELECT stream, position, version, type, recorded_at, data FROM events"


class RebuildReport(msgspec.Struct, kw_only=True):
    """The findings of `verify` at `position`."""

    position: int
    tables: dict[str, TableReport]
    streams: list[str]
    """The streams of which at least one row is wrong."""
    strays: list[Stray]
    """Rows with keys that no stream can have."""
    left_out: list[str] = []
    """The tables of installed aggregates that the file has not yet as they are to be: a start makes them."""

    @property
    def equal(self) -> bool:
        return not self.streams and not self.strays


class Progress(msgspec.Struct, kw_only=True):
    """The progress of a verification: events folded, and all events. Written by one thread, read by any.

    After `until` (of `time.monotonic`), folding is given up.
    """

    events: int = 0
    all_events: int = 0
    until: float = math.inf


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one type that cannot be read or folded for the same reason: their number, and the first."""

    type: str
    problem: str
    events: int
    first_position: int


class FoldError(RuntimeError):
    """An event cannot be read or folded by this program; `position` and `type` are the event's."""

    def __init__(self, error: Exception, position: int, type_name: str) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.position = position
        self.type = type_name


class _Folded(msgspec.Struct, frozen=True):
    """A stream's rows, made from its events."""

    table: Table
    key: str
    row: Row | None
    second: list[Row]


def verify(connection: apsw.Connection, scratch: Path, progress: Progress | None = None) -> RebuildReport:
    """Compares every row of the tables with the log, as of the moment of the call.

    `connection` only reads; `scratch` is a file that is made here, and that the caller removes. `progress` is
    kept up to date meanwhile.
    """
    try:
        connection.execute("BEGIN")
        fold(connection, scratch, progress)
        return compared(connection, scratch)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def fold(connection: apsw.Connection, scratch: Path, progress: Progress | None = None) -> None:
    """Folds every stream into shadow tables in the file `scratch`, within the caller's transaction.

    Raises:
        TimeoutError: the time of `progress` was over.
    """
    progress = progress or Progress()
    with closing(apsw.Connection(str(scratch))) as shadow:
        # The scratch file is deleted afterwards, so nothing of it needs to reach the disk.
        shadow.pragma("journal_mode", "off")
        shadow.pragma("synchronous", "off")
        # Positions have no gaps, so the last one is the number of events.
        progress.all_events = _last_position(connection)
        # Made from the definitions of the live tables, so that affinities and defaults are the same.
        for name in columns_in(connection):
            shadow.execute(connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).get)
        _fill(connection, shadow, progress)


def compared(
    connection: apsw.Connection, scratch: Path, columns: Mapping[str, tuple[str, ...]] | None = None
) -> RebuildReport:
    """The differences between the tables and those that `fold` made in `scratch`, in the same transaction.

    `columns` are the columns to compare of each table, its key first; by default, all columns of all tables.
    """
    there = columns_in(connection)
    columns = there if columns is None else columns
    report = RebuildReport(
        position=_last_position(connection),
        tables={},
        streams=[],
        strays=[],
        left_out=[name for name in TABLE_COLUMNS if name not in there],
    )
    wrong: dict[str, None] = {}
    with closing(apsw.Connection(str(scratch))) as shadow:
        for name, some in columns.items():
            report.tables[name], strays = compare(connection, shadow, name, some, wrong)
            report.strays += strays
        if wrong:
            # For `repair`, which looks the rows of each owner up.
            for name, (_, beside) in OWNERS.items():
                shadow.execute(f"CREATE INDEX IF NOT EXISTS of_{name} ON {name} ({beside.owner})")
    report.streams = list(wrong)
    return report


def columns_in(connection: apsw.Connection) -> dict[str, tuple[str, ...]]:
    """The columns of every table that the file has.

    The table of an installed aggregate may be missing, or be of an earlier version, until a service has
    opened the file. Such a table is left out.
    """
    return {
        name: columns
        for name, columns in TABLE_COLUMNS.items()
        if name not in TABLES or not TABLES[name].columns_made or _has(connection, name, columns)
    }


def _has(connection: apsw.Connection, name: str, columns: tuple[str, ...]) -> bool:
    found = connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
    return tuple(one for (one,) in found) == columns


def streams_of(table: str) -> tuple[str, str]:
    """The range of the names of a table's streams: the first is included, the second is not."""
    # All begin with the table's name and a slash; in ASCII, 0 follows the slash.
    return f"{table}/", f"{table}0"


def refill(connection: apsw.Connection, table: Table) -> None:
    """Fills an empty table with the rows of all its streams, as part of the caller's transaction.

    Raises:
        FoldError: an event cannot be read or folded.
    """
    rows = connection.execute(
        f"{_EVENTS} WHERE stream >= ? AND stream < ? ORDER BY stream, version", streams_of(table.name)
    )
    made = (
        _last_row(table, split_stream(stream)[1], events)
        for stream, events in groupby(rows, key=lambda row: str(row[0]))
    )
    while batch := list(islice(made, _BATCH_STREAMS)):
        upsert_rows(connection, table.name, table.columns, [row for row in batch if row is not None])


def _last_row(table: Table, key: str, events: Iterable[tuple[Any, ...]]) -> Row | None:
    """The row that the events of a stream lead to; `None` if they lead to none.

    The row after each event is made and checked, too, since queries of past moments are answered with them.

    Raises:
        FoldError: an event cannot be read or folded.
    """
    evolve = BY_TABLE[table.name].evolve
    state: Any = None
    row: Row | None = None
    for event in events:
        try:
            recorded = _recorded(key, event)
            state = evolve(state, recorded)
            row = None if state is None else table.row(state, recorded.version, recorded.position)
            if row is not None:
                _require_fitting(table, row, recorded)
        except Exception as error:
            raise FoldError(error, event[1], event[3]) from error
    return row


def _require_fitting(table: Table, row: Row, recorded: Recorded) -> None:
    misfit = table.misfit(row, recorded.key, recorded.version, recorded.position)
    if misfit is not None:
        raise TypeError(f"the row does not fit its table: {misfit}")


def _last_position(connection: apsw.Connection) -> int:
    return connection.execute("SELECT max(position) FROM events").get or 0


def unreadable(connection: apsw.Connection) -> list[Unreadable]:
    """The events of the log that this program cannot read or fold; only the first one of each stream.

    This takes as long as `fold`, which raises the first error that it meets.
    """
    found: dict[tuple[str, str], list[int]] = {}
    rows = connection.execute(f"{_EVENTS} ORDER BY stream, version")
    for stream, events in groupby(rows, key=lambda row: str(row[0])):
        name, key = split_stream(stream)
        state: Any = None
        for row in events if name in TABLES or stream == TIMELINE_STREAM else ():
            try:
                recorded = _recorded(key, row)
                if name in TABLES:
                    state = BY_TABLE[name].evolve(state, recorded)
            except Exception as error:
                found.setdefault((str(row[3]), f"{type(error).__name__}: {error}"), []).append(row[1])
                break
    return [
        Unreadable(type=name, problem=problem, events=len(positions), first_position=min(positions))
        for (name, problem), positions in found.items()
    ]


def repair(connection: apsw.Connection, streams: Iterable[str], scratch: Path | None = None) -> int:
    """Corrects the rows of these streams, and returns the number of streams.

    This is part of the caller's transaction; nothing is committed here. `scratch` is the file that `verify`
    filled; without it, every row is made from its events.
    """
    wrong: dict[str, list[str]] = {}
    for stream in streams:
        name, key = split_stream(stream)
        wrong.setdefault(name, []).append(key)
    if not wrong:
        return 0
    with _opened(scratch) as shadow:
        for name, keys in wrong.items():
            _put_right(connection, TABLES[name], keys, shadow)
    count_repair(connection)
    return sum(map(len, wrong.values()))


@contextmanager
def _opened(scratch: Path | None) -> Iterator[apsw.Connection | None]:
    if scratch is None:
        yield None
        return
    shadow = apsw.Connection(str(scratch), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield shadow
    finally:
        shadow.close()


def _taken_over(
    connection: apsw.Connection, shadow: apsw.Connection, table: Table, keys: list[str]
) -> dict[str, _Folded]:
    """The rows that `verify` made, of those streams that have had no event since."""
    streams = {stream_name(table.name, key): key for key in keys}
    versions = {
        streams[stream]: version
        for stream, version in connection.execute(
            f"SELECT stream, max(version) FROM events WHERE stream IN ({_places(streams)}) GROUP BY stream",
            tuple(streams),
        )
    }
    version = table.columns.index("version")
    rows = {
        key: row
        for row in _rows_of(shadow, table.name, table.columns, [table.row_key(key) for key in keys])
        if versions.get(key := table.aggregate_key(row[0])) == row[version]
    }
    second: dict[str, list[Row]] = {}
    if (beside := table.beside) is not None:
        owners = [row[0] for row in rows.values()]
        for row in _rows_of(shadow, beside.name, beside.columns, owners, beside.owner):
            second.setdefault(row[beside.owner_place], []).append(row)
    return {key: _Folded(table, key, row, second.get(row[0], [])) for key, row in rows.items()}


def _rows_of(
    shadow: apsw.Connection, name: str, columns: tuple[str, ...], keys: list[str], column: str | None = None
) -> Iterator[Row]:
    where = column or columns[0]
    yield from shadow.execute(
        f"SELECT {', '.join(columns)} FROM {name} WHERE {where} IN ({_places(keys)})", tuple(keys)
    )


def _places(values: Sized) -> str:
    # Not `carray`, which accepts no text with a NUL; a damaged key may have one.
    return ",".join("?" * len(values))


def _made_anew(connection: apsw.Connection, table: Table, key: str) -> _Folded:
    rows = connection.execute(f"{_EVENTS} WHERE stream = ? ORDER BY version", (stream_name(table.name, key),))
    return _fold(table, key, (_recorded(key, row) for row in rows))


def _put_right(
    connection: apsw.Connection, table: Table, keys: list[str], shadow: apsw.Connection | None
) -> None:
    found = {} if shadow is None else _taken_over(connection, shadow, table, keys)
    right = [found.get(key) or _made_anew(connection, table, key) for key in keys]
    if (beside := table.beside) is not None:
        owners = tuple(map(table.row_key, keys))
        connection.execute(f"DELETE FROM {beside.name} WHERE {beside.owner} IN ({_places(owners)})", owners)
    gone = [table.row_key(one.key) for one in right if one.row is None]
    connection.execute(
        f"DELETE FROM {table.name} WHERE {table.primary_key} IN ({_places(gone)})", tuple(gone)
    )
    upsert_rows(connection, table.name, table.columns, [one.row for one in right if one.row is not None])
    if beside is not None:
        upsert_rows(connection, beside.name, beside.columns, [row for one in right for row in one.second])


def _fill(connection: apsw.Connection, shadow: apsw.Connection, progress: Progress) -> None:
    shadow.execute("BEGIN")
    columns = columns_in(connection)
    folded = _fold_all(connection, progress)
    while batch := list(islice(folded, _BATCH_STREAMS)):
        _insert(shadow, batch, columns)
    shadow.execute("COMMIT")


def _insert(shadow: apsw.Connection, batch: list[_Folded], tables: Mapping[str, tuple[str, ...]]) -> None:
    for name, columns in tables.items():
        rows: list[Row] = []
        for one in batch:
            if one.table.beside is not None and one.table.beside.name == name:
                rows.extend(one.second)
            elif one.table.name == name and one.row is not None:
                rows.append(one.row)
        upsert_rows(shadow, name, columns, rows)


def _fold_all(connection: apsw.Connection, progress: Progress) -> Iterator[_Folded]:
    rows = connection.execute(f"{_EVENTS} ORDER BY stream, version")
    for stream, events in groupby(rows, key=lambda row: str(row[0])):
        table, key = split_stream(stream)
        # Streams of other applications have no tables here.
        if table in TABLES and stream != TIMELINE_STREAM:
            if time.monotonic() > progress.until:
                raise TimeoutError(f"folded {progress.events} of {progress.all_events} events in time")
            recorded = [_recorded(key, row) for row in events]
            progress.events += len(recorded)
            yield _fold(TABLES[table], key, recorded)


def _recorded(key: str, row: tuple[Any, ...]) -> Recorded:
    _, position, version, type_name, recorded_at, data = row
    return Recorded(position, key, version, recorded_at, decode_event(type_name, data))


def _fold(table: Table, key: str, events: Iterable[Recorded]) -> _Folded:
    evolve = BY_TABLE[table.name].evolve
    state = None
    version = position = 0
    second: dict[Any, Row] = {}
    for recorded in events:
        before, state = state, evolve(state, recorded)
        version, position = recorded.version, recorded.position
        if table.beside is not None:
            for row in table.beside.rows(before, state, recorded.event, recorded.recorded_at):
                second[row[0]] = row
            if state is None:
                second.clear()
    final = None if state is None else table.row(state, version, position)
    return _Folded(table, key, final, list(second.values()) if final is not None else [])
