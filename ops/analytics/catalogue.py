"""The views and macros over a lake, as SQL: `Catalogue`.

Files are named one by one, as the manifest has them: what an export that was cut off left behind is not seen.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from ops.analytics.event_columns import EVENT_COLUMNS, event_types
from ops.analytics.layout import (
    EVENTS,
    VERSIONS,
    AnalyticsError,
    File,
    Manifest,
    Snapshot,
    Timelines,
    history_of,
    is_part,
    literal,
)
from ops.analytics.row_versions import DELETED, column_types
from projections import jobs
from projections.comparison import HISTORY
from projections.table import Table
from projections.tables import TABLES

TABLE_COLUMNS: dict[str, tuple[str, ...]] = {name: table.columns for name, table in TABLES.items()} | {
    HISTORY: jobs.HISTORY_COLUMNS
}
_KINDS = {"INTEGER": "BIGINT", "TEXT": "VARCHAR"}
# Beyond any position.
_END = 2**62


class Catalogue:
    """The views and macros over a lake, seen from one of its snapshots.

    `root` is where the lake is; if it is `movable`, the variable `lake` of a session says so, if it is set.
    Without a `snapshot` that is named, the newest one is shown.

    Raises:
        AnalyticsError: there is no such snapshot.
    """

    def __init__(
        self, manifest: Manifest, root: Path, *, movable: bool = False, snapshot: str | None = None
    ) -> None:
        self._manifest = manifest
        self._root = literal(f"{root.absolute()}/")
        if movable:
            self._root = f"coalesce(getvariable('lake') || '/', {self._root})"
        self._shown = find_snapshot(manifest, snapshot)
        self._is_newest = snapshot is None

    def statements(self) -> Iterator[str]:
        """What makes all of it, in order, statement by statement."""
        for name, query in {**self.files(), **self.shown()}.items():
            yield f"CREATE OR REPLACE VIEW {name} AS {query}"
        yield from self.derived(events=f"({self._of_stretches(EVENTS, self._timelines, self._position)})")

    def files(self) -> dict[str, str]:
        """What there is of every timeline and every snapshot, by name."""
        found = {"all_events": self._of_stretches(EVENTS, None)}
        for table in TABLE_COLUMNS:
            of_table = [one.tables[table] for one in self._manifest.snapshots if table in one.tables]
            if of_table:
                found[f"all_{table}"] = f"SELECT * FROM {self._read(of_table, 'snapshot', 'VARCHAR')}"
        return found

    def shown(self) -> dict[str, str]:
        """What all else is derived from: the log, the versions and the tables that are shown, by name."""
        found = {"history_events": self._of_stretches(EVENTS, self._timelines)}
        for table in TABLE_COLUMNS:
            versions = table + VERSIONS
            found[versions] = self._of_stretches(versions, self._timelines)
            if self._shown is not None and table in self._shown.tables:
                found[table] = f"SELECT * FROM {self._read([self._shown.tables[table]])}"
        return found

    def derived(self, *, events: str) -> Iterator[str]:
        """What makes the rest, statement by statement.

        `events` are those up to the position that is shown: `shown_events`, or the same out of fewer files.
        """
        yield self._snapshots()
        yield self._history()
        yield f"CREATE OR REPLACE MACRO shown_position() AS {self._position}"
        yield self._events(events)
        yield from _statements_of("catalogue.sql")
        for table, columns in TABLE_COLUMNS.items():
            yield _history_at() if table == HISTORY else _table_at(TABLES[table])
            if self._shown is None or table not in self._shown.tables:
                names = ", ".join(columns)
                yield f"CREATE OR REPLACE VIEW {table} AS SELECT {names} FROM {table}_at({self._position})"
        yield _changes_between()
        yield from _statements_of("analyses.sql")

    @property
    def shown_events(self) -> str:
        """The log as far as the tables that are shown, of all that there is of the history."""
        return f"(SELECT * FROM history_events WHERE position <= {self._position})"

    def _events(self, source: str) -> str:
        names = ", ".join(EVENT_COLUMNS)
        return (
            f"CREATE OR REPLACE VIEW events AS SELECT {names}, make_timestamp(recorded_at * 1000) AS time,"
            f" * EXCLUDE ({names}) FROM {source}"
        )

    @property
    def _timelines(self) -> Timelines:
        """The history that is shown: the newest if the snapshot is part of it, or else the snapshot's own."""
        newest = self._manifest.history
        if self._shown is None or (self._is_newest and is_part(self._shown, newest, _END)):
            return newest
        return self._shown.timelines

    @property
    def _position(self) -> int:
        """The position that the tables are shown at."""
        if self._shown is not None:
            return self._shown.position
        return max((self._manifest.end_of(one) for one, _ in self._timelines[-1:]), default=0)

    def _snapshots(self) -> str:
        rows = [
            (
                one.name,
                one.snapshot,
                one.timestamp,
                one.timeline,
                one.position,
                one.description,
                one.last_recorded_at,
                one.size,
                one.file_size or one.size,
                one.checksum,
                one.head_hash,
                one.version,
                msgspec.json.encode({name: file.rows for name, file in one.tables.items()}).decode(),
                one == self._shown,
                is_part(one, self._timelines, _END),
            )
            for one in self._manifest.snapshots
        ]
        names = (
            "name, snapshot, timestamp, timeline, position, description, last_recorded_at, size, file_size,"
            " checksum, head_hash, version, table_rows, is_shown, in_history"
        )
        kinds = [
            "VARCHAR",
            "VARCHAR",
            "BIGINT",
            "INTEGER",
            "BIGINT",
            "VARCHAR",
            "BIGINT",
            "BIGINT",
            "BIGINT",
            "VARCHAR",
            "VARCHAR",
            "VARCHAR",
            "VARCHAR",
            "BOOLEAN",
            "BOOLEAN",
        ]
        values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
        source = f"(VALUES {values})" if rows else f"(SELECT {', '.join(['NULL'] * len(kinds))} WHERE false)"
        cast = ", ".join(
            f"CAST({name} AS {kind}) AS {name}" for name, kind in zip(names.split(", "), kinds, strict=True)
        )
        return (
            f"CREATE OR REPLACE VIEW snapshots AS SELECT {cast}, make_timestamp(timestamp * 1000) AS time"
            f" FROM {source} AS known({names}) ORDER BY timestamp"
        )

    def _history(self) -> str:
        rows = [
            f"({timeline}, {first}, {min(last, self._manifest.end_of(timeline))})"
            for timeline, first, last in history_of(self._timelines, _END)
        ]
        return (
            "CREATE OR REPLACE VIEW timelines AS SELECT * FROM"
            f" (VALUES {', '.join(rows)}) AS known(timeline, first_position, last_position)"
        )

    def _of_stretches(self, name: str, history: Timelines | None, until: int = _END) -> str:
        """The rows of every timeline, or of a history alone up to a position, in the order of their files."""
        selects = []
        ranges = (
            [(timeline, _END) for timeline in self._manifest.timelines]
            if history is None
            else [(timeline, last) for timeline, _, last in history_of(history, until)]
        )
        for timeline, last in ranges:
            of_timeline = [
                one
                for one in self._manifest.stretches
                if one.timeline == timeline and one.first <= last and name in one.files
            ]
            # Only where history leaves a file before its end, its rows are looked at one by one.
            whole = [file for one in of_timeline if one.last <= last for file in one.files[name]]
            cut = [file for one in of_timeline if one.last > last for file in one.files[name]]
            for some, where in ((whole, ""), (cut, f" WHERE position <= {last}")):
                if some:
                    selects.append(f"SELECT * FROM {self._read(some, 'timeline', 'INTEGER')}{where}")
        if not selects:
            return _empty(name)
        return " UNION ALL BY NAME ".join(selects)

    def _read(self, of: Sequence[File], partition: str | None = None, kind: str = "") -> str:
        names = ", ".join(f"{self._root} || {literal(one.path)}" for one in of)
        if partition is None:
            return f"read_parquet([{names}], hive_partitioning = false)"
        # To unite columns, every file is opened before anything is asked, so only where they differ.
        kinds = {one.columns for one in of}
        united = ", union_by_name = true" if len(kinds) > 1 or "" in kinds else ""
        types = f"hive_types = {{'{partition}': {kind}}}"
        return f"read_parquet([{names}], hive_partitioning = true, {types}{united})"


def find_snapshot(manifest: Manifest, name: str | None) -> Snapshot | None:
    """A snapshot by the name of its backup; the newest one without a name, `None` if there is none.

    Raises:
        AnalyticsError: there is none of that name.
    """
    if name is None:
        return max(manifest.snapshots, key=lambda one: one.timestamp, default=None)
    for one in manifest.snapshots:
        if Path(name).name in (one.name, one.snapshot):
            return one
    raise AnalyticsError(
        "not_found",
        f"the lake has no snapshot {name}",
        "`hyperpage analytics sql 'SELECT name FROM snapshots'` lists them",
    )


def _table_at(table: Table) -> str:
    """The rows of a table as they were at a moment: of each key, the last one up to there."""
    key, names = table.primary_key, ", ".join(f"v.{column}" for column in table.columns)
    versions = table.name + VERSIONS
    return (
        f"CREATE OR REPLACE MACRO {table.name}_at(moment) AS TABLE"
        f" WITH latest AS (SELECT {key}, max(position) AS position FROM {versions}"
        f" WHERE position <= position_of(moment) GROUP BY {key})"
        f" SELECT {names} FROM {versions} AS v SEMI JOIN latest USING (position) WHERE NOT v.deleted"
    )


def _history_at() -> str:
    """The same of attempts, which leave the table together, with their job."""
    names = ", ".join(f"v.{column}" for column in jobs.HISTORY_COLUMNS)
    versions = HISTORY + VERSIONS
    return (
        f"CREATE OR REPLACE MACRO {HISTORY}_at(moment) AS TABLE"
        f" WITH until AS (SELECT id, job_id, position, deleted FROM {versions}"
        " WHERE position <= position_of(moment)),"
        " gone AS (SELECT job_id, max(position) AS gone_at FROM until WHERE deleted GROUP BY job_id),"
        " latest AS (SELECT id, max(position) AS position FROM until LEFT JOIN gone USING (job_id)"
        " WHERE NOT deleted AND position > coalesce(gone_at, 0) GROUP BY id)"
        f" SELECT {names} FROM {versions} AS v SEMI JOIN latest USING (id, position) WHERE NOT v.deleted"
    )


def _changes_between() -> str:
    """Each row that is another one at the second moment, of all tables."""
    selects = []
    for table in TABLE_COLUMNS:
        key = "id" if table == HISTORY else TABLES[table].primary_key
        selects.append(
            f"SELECT '{table}' AS table_name, CAST(coalesce(a.{key}, b.{key}) AS VARCHAR) AS key,"
            f" CASE WHEN a.{key} IS NULL THEN 'added' WHEN b.{key} IS NULL THEN 'removed' ELSE 'changed' END"
            " AS change,"
            f" CASE WHEN a.{key} IS NOT NULL THEN to_json(a) END AS old,"
            f" CASE WHEN b.{key} IS NOT NULL THEN to_json(b) END AS new"
            f" FROM {table}_at(first_moment) AS a FULL JOIN {table}_at(second_moment) AS b"
            f" ON a.{key} = b.{key} WHERE a IS DISTINCT FROM b"
        )
    return (
        "CREATE OR REPLACE MACRO changes_between(first_moment, second_moment) AS TABLE"
        f" {' UNION ALL '.join(selects)} ORDER BY table_name, key"
    )


def _statements_of(name: str) -> Iterator[str]:
    text = files("ops.analytics").joinpath(name).read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            yield statement


def _empty(name: str) -> str:
    """No rows, with the columns that there would be."""
    kinds = event_types() if name == EVENTS else column_types()[name.removesuffix(VERSIONS)]
    if name != EVENTS:
        kinds = kinds | {DELETED: "BOOLEAN"}
    columns = ", ".join(
        f"CAST(NULL AS {_KINDS.get(kind, kind)}) AS {column}" for column, kind in kinds.items()
    )
    return f"SELECT {columns}, CAST(NULL AS INTEGER) AS timeline WHERE false"
