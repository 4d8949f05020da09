"""The views and macros over a lake, as SQL: `Catalogue`.

The views name each file of the manifest, so files that an interrupted export left behind are not read.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from ops.analytics.lake.columns import (
    DELETED,
    EVENT_COLUMNS,
    key_column,
    literal,
    log_columns,
    version_columns,
)
from ops.analytics.lake.files import File
from ops.analytics.lake.layout import EVENTS, VERSIONS
from ops.analytics.lake.manifest import Manifest, find_snapshot
from ops.analytics.lake.times import macros
from ops.archive.timelines import END, Timelines, history_of
from projections.tables import OWNERS, TABLE_COLUMNS

_KINDS = {"INTEGER": "BIGINT", "TEXT": "VARCHAR"}
# The columns of `events`: those of the log's table first, then all others. `size` is that of an event's
# texts.
_OF_EVENTS = (
    f"{', '.join(EVENT_COLUMNS)}, time_of(recorded_at) AS time,"
    " strlen(stream) + strlen(type) + coalesce(strlen(data), octet_length(data_bytes), 0)"
    f" + coalesce(strlen(metadata), 0) AS size, * EXCLUDE ({', '.join(EVENT_COLUMNS)})"
)


class Catalogue:
    """The views and macros over a lake, seen from one of its snapshots.

    `root` is the folder of the lake. In a `movable` catalogue, a session can set the variable `lake` to
    another folder. Without the name of a `snapshot`, the newest one is shown. With a `time_zone`, times are
    shown, grouped and read in it, and the session's setting has to name it, too; without one, times are in
    UTC, and of a type without a zone.

    Raises:
        AnalyticsError: there is no such snapshot.
    """

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        *,
        movable: bool = False,
        snapshot: str | None = None,
        time_zone: str | None = None,
    ) -> None:
        self._manifest = manifest
        # A table of which the lake lacks row versions has no view, which would show a part of its rows alone.
        self._tables = [table for table in TABLE_COLUMNS if table not in manifest.left_out]
        self._root = literal(f"{root.absolute()}/")
        if movable:
            self._root = f"coalesce(getvariable('lake') || '/', {self._root})"
        self._shown = find_snapshot(manifest, snapshot)
        self._is_newest = snapshot is None
        self.times = macros(time_zone)

    def statements(self) -> Iterator[str]:
        """The statements that make all views and macros, in order."""
        yield from self.times
        for name, query in {**self.files(), **self.shown()}.items():
            yield f"CREATE OR REPLACE VIEW {name} AS {query}"
        # `events` reads the files directly: a view such as `history_events` in between costs a query 0.5 ms.
        yield from self.derived(
            events=self._of_stretches(EVENTS, self._timelines, self._position, columns=_OF_EVENTS)
        )

    def files(self) -> dict[str, str]:
        """The views of every timeline and every snapshot, by name."""
        found = {"all_events": self._of_stretches(EVENTS, None)}
        for table in self._tables:
            of_table = [file for one in self._manifest.snapshots for file in one.tables.get(table, ())]
            if of_table:
                found[f"all_{table}"] = f"SELECT * FROM {self._read(of_table, 'snapshot')}"
        return found

    def shown(self) -> dict[str, str]:
        """The views that all others are derived from, by name: the log, the versions and the tables shown."""
        found = {"history_events": self._of_stretches(EVENTS, self._timelines)}
        for table in self._tables:
            versions = table + VERSIONS
            found[versions] = self._of_stretches(versions, self._timelines)
            if self._shown is not None and table in self._shown.tables:
                found[table] = f"SELECT * FROM {self._read(self._shown.tables[table])}"
        return found

    def derived(self, *, events: str) -> Iterator[str]:
        """The statements that make the rest, in order.

        `events` is a query for the events up to the position that is shown: `shown_events`, or one of files.
        """
        yield self._snapshots()
        yield self._history()
        yield f"CREATE OR REPLACE MACRO shown_position() AS {self._position}"
        yield f"CREATE OR REPLACE MACRO last_position() AS {self._last_position}"
        yield f"CREATE OR REPLACE MACRO last_backup_ms() AS {self._last_backup_ms}"
        yield f"CREATE OR REPLACE VIEW events AS {events}"
        # After `events`, which `shown_ms` reads where no snapshot is shown.
        yield f"CREATE OR REPLACE MACRO shown_ms() AS {self._shown_ms}"
        yield from _statements_of("catalogue.sql")
        for table in self._tables:
            at_moment = _rows_at(table, "position_of(moment)")
            yield f"CREATE OR REPLACE MACRO {table}_at(moment) AS TABLE {at_moment}"
            if self._shown is None or table not in self._shown.tables:
                # Not by that macro: to plan `position_of` takes DuckDB 4 ms in each query.
                yield f"CREATE OR REPLACE VIEW {table} AS {_rows_at(table, str(self._position))}"
        yield _changes_between(self._tables)
        yield from _statements_of("analyses.sql")

    @property
    def shown_events(self) -> str:
        """The query for the events up to the position that the tables are shown at."""
        return f"SELECT {_OF_EVENTS} FROM history_events WHERE position <= {self._position}"

    @property
    def _timelines(self) -> Timelines:
        """The history that is shown: the newest if the snapshot is part of it, or else the snapshot's own."""
        newest = self._manifest.history
        if self._shown is None or (self._is_newest and self._shown.is_part_of(newest)):
            return newest
        return self._shown.timelines

    @property
    def _position(self) -> int:
        """The position that the tables are shown at."""
        if self._shown is not None:
            return self._shown.position
        return self._last_position

    @property
    def _shown_ms(self) -> str:
        """The time of that position, as SQL: no event up to that time is missing."""
        last = "(SELECT max(recorded_at) FROM events)"
        return last if self._shown is None else str(self._shown.timestamp)

    @property
    def _last_position(self) -> int:
        """The last position of the history that is shown."""
        return max((self._manifest.end_of(one) for one, _ in self._timelines[-1:]), default=0)

    @property
    def _last_backup_ms(self) -> int:
        """The time of the last backup of this history; 0 without one."""
        known = (one.timestamp for one in self._manifest.snapshots if one.is_part_of(self._timelines))
        return max(known, default=0)

    def _snapshots(self) -> str:
        columns = (
            "name VARCHAR, snapshot VARCHAR, timestamp BIGINT, timeline INTEGER, position BIGINT,"
            " description VARCHAR, last_recorded_at BIGINT, size BIGINT, plain_size BIGINT, checksum VARCHAR,"
            " head_hash VARCHAR, version VARCHAR, table_rows VARCHAR, is_shown BOOLEAN, in_history BOOLEAN"
        )
        kinds = dict(map(str.split, columns.split(", ")))
        rows = []
        for one in self._manifest.snapshots:
            table_rows = {name: sum(file.rows for file in of) for name, of in one.tables.items()}
            known = msgspec.structs.asdict(one) | {
                "plain_size": one.file_size or one.size,
                "table_rows": msgspec.json.encode(table_rows).decode(),
                "is_shown": one == self._shown,
                "in_history": one.is_part_of(self._timelines),
            }
            rows.append([known[name] for name in kinds])
        # One text holds all rows: a thousand rows of VALUES cost each query 50 ms.
        lines = "\n".join(msgspec.json.encode(row).decode() for row in rows)
        selected = ", ".join(
            f"CAST(line ->> '$[{place}]' AS {kind}) AS {name}"
            for place, (name, kind) in enumerate(kinds.items())
        )
        return (
            f"CREATE OR REPLACE VIEW snapshots AS SELECT {selected}, time_of(timestamp) AS time"
            f" FROM (SELECT unnest(string_split({literal(lines)}, chr(10))) AS line WHERE {bool(rows)})"
            " ORDER BY timestamp"
        )

    def _history(self) -> str:
        rows = [
            f"({timeline}, {first}, {min(last, self._manifest.end_of(timeline))})"
            for timeline, first, last in history_of(self._timelines)
        ]
        return (
            "CREATE OR REPLACE VIEW timelines AS SELECT * FROM"
            f" (VALUES {', '.join(rows or ['(0, 0, 0)'])}) AS known(timeline, first_position, last_position)"
            f" WHERE {bool(rows)}"
        )

    def _of_stretches(
        self, name: str, history: Timelines | None, until: int = END, *, columns: str = "*"
    ) -> str:
        """The rows of every timeline, or of one history up to a position, in the order of their files."""
        selects = []
        ranges = (
            [(timeline, END) for timeline in self._manifest.timelines]
            if history is None
            else [(timeline, last) for timeline, _, last in history_of(history, until)]
        )
        for timeline, last in ranges:
            of_timeline = [
                one
                for one in self._manifest.stretches
                if one.timeline == timeline and one.first <= last and name in one.files
            ]
            # Rows are filtered by position only in a file that the history follows for a part.
            whole = [file for one in of_timeline if one.last <= last for file in one.files[name]]
            cut = [file for one in of_timeline if one.last > last for file in one.files[name]]
            for some, where in ((whole, ""), (cut, f" WHERE position <= {last}")):
                if some:
                    selected = f"{columns}, CAST({timeline} AS INTEGER) AS timeline"
                    selects.append(f"SELECT {selected} FROM {self._read(some)}{where}")
        if not selects:
            return f"SELECT {columns} FROM ({_empty(name)})"
        return " UNION ALL BY NAME ".join(selects)

    def _read(self, of: Sequence[File], partition: str | None = None) -> str:
        """The rows of some files; with a `partition`, also the column that their folders' names give."""
        # One text holds all paths: an expression for each would cost a query 60 µs. No path has a line feed
        # or %
        paths = literal("\n".join(f"%{one.path}" for one in of))
        names = f"string_split(replace({paths}, '%', {self._root}), chr(10))"
        # `union_by_name` opens every file for each query, so it is used only where columns differ.
        kinds = {one.columns for one in of}
        united = ", union_by_name = true" if len(kinds) > 1 or "" in kinds else ""
        hive = f"true, hive_types = {{'{partition}': VARCHAR}}" if partition else "false"
        return f"read_parquet({names}, hive_partitioning = {hive}{united})"


def _rows_at(table: str, position: str) -> str:
    """A query for the rows of a table as they were at a position: for each key, the last version up to it."""
    versions = table + VERSIONS
    # Not by the names of the table's columns: files of an older version of the program lack newer ones.
    of_versions = f"{DELETED}, timeline, position" if table in OWNERS else f"{DELETED}, timeline"
    columns = f"v.* EXCLUDE ({of_versions})"
    if table in OWNERS:
        # The rows of an owner are removed together with it.
        owner, key = OWNERS[table][1].owner, key_column(table)
        gone = (
            f"SELECT {owner}, max(position) AS gone_at FROM {versions}"
            f" WHERE deleted AND position <= {position} GROUP BY {owner}"
        )
        latest = (
            f"SELECT {key}, max(position) AS position FROM {versions} LEFT JOIN ({gone}) USING ({owner})"
            f" WHERE NOT deleted AND position > coalesce(gone_at, 0) AND position <= {position}"
            f" GROUP BY {key}"
        )
        return (
            f"SELECT {columns} FROM {versions} AS v SEMI JOIN ({latest}) AS latest USING ({key}, position)"
            " WHERE NOT v.deleted"
        )
    latest = f"SELECT max(position) AS position FROM {versions} WHERE position <= {position}"
    return (
        f"SELECT {columns} FROM {versions} AS v"
        f" SEMI JOIN ({latest} GROUP BY {key_column(table)}) AS latest USING (position) WHERE NOT v.deleted"
    )


def _changes_between(tables: Iterable[str]) -> str:
    """The macro for the rows of all tables that differ between two moments."""
    selects = []
    for table in tables:
        key = key_column(table)
        first, second = (
            _rows_at(table, f"position_of({moment})") for moment in ("first_moment", "second_moment")
        )
        selects.append(
            f"SELECT '{table}' AS table_name, CAST(coalesce(a.{key}, b.{key}) AS VARCHAR) AS key,"
            f" CASE WHEN a.{key} IS NULL THEN 'added' WHEN b.{key} IS NULL THEN 'removed' ELSE 'changed' END"
            " AS change,"
            f" CASE WHEN a.{key} IS NOT NULL THEN to_json(a) END AS old,"
            f" CASE WHEN b.{key} IS NOT NULL THEN to_json(b) END AS new"
            f" FROM ({first}) AS a FULL JOIN ({second}) AS b"
            f" ON a.{key} = b.{key} WHERE a IS DISTINCT FROM b"
        )
    return (
        "CREATE OR REPLACE MACRO changes_between(first_moment, second_moment) AS TABLE"
        f" {' UNION ALL '.join(selects)} ORDER BY table_name, key"
    )


def _statements_of(name: str) -> Iterator[str]:
    text = files("ops.analytics.lake").joinpath(name).read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            yield statement


def _empty(name: str) -> str:
    """A query without rows that has the columns of the files."""
    kinds = log_columns() if name == EVENTS else version_columns()[name.removesuffix(VERSIONS)]
    if name != EVENTS:
        kinds = kinds | {DELETED: "BOOLEAN"}
    columns = ", ".join(
        f"CAST(NULL AS {_KINDS.get(kind, kind)}) AS {column}" for column, kind in kinds.items()
    )
    return f"SELECT {columns}, CAST(NULL AS INTEGER) AS timeline WHERE false"
