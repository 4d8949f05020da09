"""The difference of all rows between two moments, or between two backups: `difference`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ops.analytics.asking.query import explained, plain
from ops.analytics.lake.columns import key_column, quoted
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.manifest import Manifest, find_snapshot, require_manifest
from ops.analytics.lake.session import Connection, connect
from projections.tables import TABLE_COLUMNS

Record = dict[str, Any]


class Changed(msgspec.Struct, frozen=True):
    """A row that has changed: its key, the columns that differ, and the whole row before and after."""

    key: Any
    columns: list[str]
    old: Record
    new: Record


class Difference(msgspec.Struct, frozen=True):
    """The difference of the rows of a table, in the order of their keys."""

    added: list[Record]
    removed: list[Record]
    changed: list[Changed]


def difference(
    lake: Path, first: str, second: str, *, tables: Sequence[str] | None = None, time_zone: str | None = None
) -> dict[str, Difference]:
    """The difference of the rows of each table from a first moment to a second one, which may be earlier.

    `tables` are the tables that are compared; without them, all are. A moment is the name of a backup of any
    timeline, or a position or a time of the newest history. A time without a zone is in `time_zone`, or in
    UTC.

    Raises:
        AnalyticsError: there is no lake, no such moment in it, or no such table.
    """
    manifest = require_manifest(lake)
    known = [table for table in TABLE_COLUMNS if table not in manifest.left_out]
    if unknown := sorted(set(tables or ()) - set(known)):
        raise AnalyticsError("not_found", f"there is no table {unknown[0]}", f"there are {', '.join(known)}")
    with connect(lake, time_zone=time_zone, confined=True) as engine, explained():
        sides = [_Side(engine, manifest, moment) for moment in (first, second)]
        return {table: _compare(engine, table, *sides) for table in tables or known}


class _Side:
    """One of the two moments, and the rows of tables at it."""

    def __init__(self, engine: Connection, manifest: Manifest, moment: str) -> None:
        self._engine = engine
        try:
            self._snapshot = find_snapshot(manifest, moment)
            self._is_of_history = self._snapshot is not None and self._snapshot.is_part_of(manifest.history)
            self._position = 0
        except AnalyticsError:
            self._snapshot = None
            [(position,)] = engine.execute("SELECT position_of($moment)", {"moment": moment}).fetchall()
            self._position = int(position)

    def rows(self, table: str) -> str:
        """The rows of a table at that moment, as the SQL that follows FROM."""
        if self._snapshot is None:
            return f"{table}_at({self._position})"
        if table not in self._snapshot.tables:
            if self._is_of_history:
                # The backup was exported without the table's package, or is older than the table.
                return f"{table}_at({self._snapshot.position})"
            return f"(SELECT * FROM {table} WHERE false)"
        return f"(SELECT * EXCLUDE (snapshot) FROM all_{table} WHERE snapshot = '{self._snapshot.snapshot}')"

    def columns(self, table: str) -> list[str]:
        """The names of the columns of these rows."""
        described = self._engine.execute(f"FROM {self.rows(table)} LIMIT 0").description
        return [name for name, *_ in described]


def _compare(engine: Connection, table: str, first: _Side, second: _Side) -> Difference:
    key = key_column(table)
    # A migration adds or removes columns, which is no change of a row: only columns of both sides count.
    others = set(second.columns(table))
    columns = [name for name in first.columns(table) if name in others]
    names = ", ".join(map(quoted, columns))
    pairs = ", ".join(f"a.{quoted(one)}, b.{quoted(one)}" for one in columns)
    result = engine.execute(
        f"SELECT a.{key} IS NULL, b.{key} IS NULL, {pairs}"
        f" FROM (SELECT {names} FROM {first.rows(table)}) AS a"
        f" FULL JOIN (SELECT {names} FROM {second.rows(table)}) AS b ON a.{key} = b.{key}"
        f" WHERE a IS DISTINCT FROM b ORDER BY coalesce(a.{key}, b.{key})"
    )
    found = Difference([], [], [])
    for is_added, is_removed, *values in result.fetchall():
        old = dict(zip(columns, map(plain, values[::2]), strict=True))
        new = dict(zip(columns, map(plain, values[1::2]), strict=True))
        if is_added:
            found.added.append(new)
        elif is_removed:
            found.removed.append(old)
        else:
            differing = [name for name in columns if old[name] != new[name]]
            found.changed.append(Changed(new[key], differing, old, new))
    return found
