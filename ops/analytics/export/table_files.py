"""Writing the tables of a backup as Parquet: `write_table`.

A table is written in parts. Between two backups, few rows change: those of streams with new events. So a part
of the newest earlier snapshot in which no row has changed becomes a part of this one, too, under a second
name. The other parts are written anew, from their unchanged rows and the changed rows of the backup. So the
time of an export grows with the changes, not with the table, and unchanged parts take disk space once.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from domain.messages import split_stream
from ops.analytics.export.sealed_source import HEAVY_ROW_BYTES, IS_ROW, SealedSource
from ops.analytics.export.table_parts import GROUP_ROWS, PART_ROWS, Parts
from ops.analytics.lake.columns import arrow_schema, literal
from ops.analytics.lake.files import File
from ops.analytics.lake.session import Connection
from projections.tables import OWNERS, TABLES, aggregates_of, stream_column

if TYPE_CHECKING:
    import pyarrow

# With more new events than this, the whole table is read anew.
MOST_NEW_EVENTS = 50_000


class Earlier(msgspec.Struct, frozen=True):
    """A table at an earlier moment of the same history, and the keys of rows that changed since."""

    files: tuple[File, ...]
    position: int
    changed_keys: list[str]


def changed_keys(source: SealedSource, after: int) -> dict[str, list[str]]:
    """The keys of the rows that events after a position have changed, made or removed, by table.

    For a second table, such as that of attempts, they are the keys of the rows' owners.
    """
    keys: dict[str, list[str]] = {}
    for (stream,) in source.rows(f"SELECT DISTINCT stream FROM {_events_behind(after)}"):
        table, key = split_stream(stream)
        if table in TABLES:
            keys.setdefault(table, []).append(TABLES[table].row_key(key))
    return keys | {name: keys.get(owner.name, []) for name, (owner, _) in OWNERS.items()}


def write_table(
    lake: Path,
    engine: Connection,
    source: SealedSource,
    table: str,
    snapshot: str,
    *,
    rows: int,
    earlier: Earlier | None,
) -> tuple[File, ...] | None:
    """Writes every row of a table, whole and on disk; `None` if the backup has no such table.

    `rows` is the number of rows in the backup. If the files made from an `earlier` table have another number
    of rows, all are written anew.
    """
    declared = source.columns(table)
    if not declared:
        return None
    parts = Parts(lake, table, snapshot, arrow_schema(declared))
    row_bytes = source.bytes_in_row(table, rows)
    if earlier is not None and parts.have_the_columns_of(earlier.files):
        # Heavy rows are not read by DuckDB, which holds some thousand rows at a time, or all of them.
        if not earlier.changed_keys or row_bytes <= HEAVY_ROW_BYTES:
            _write_changed(parts, engine, source, declared, earlier, row_bytes)
        if parts.rows == rows:
            return parts.finish()
        parts.remove()
    with source.batches(_selected(declared), table, row_bytes) as reader:
        parts.write(_rows_of(reader))
    return parts.finish()


def _write_changed(
    parts: Parts,
    engine: Connection,
    source: SealedSource,
    declared: dict[str, str],
    earlier: Earlier,
    row_bytes: int,
) -> None:
    import pyarrow

    if not earlier.changed_keys:
        parts.keep(earlier.files)
        return
    table, key = parts.table, stream_column(parts.table)
    is_changed = f"{key} IN (SELECT changed_key FROM changed_keys)"
    keys = pyarrow.array(earlier.changed_keys, type=pyarrow.string())
    engine.register("changed_keys", pyarrow.table({"changed_key": keys}))
    try:
        small = {parts.path_of(one) for one in earlier.files if one.rows < PART_ROWS // 2}
        others = {parts.path_of(one) for one in earlier.files} - small
        anew = small | _paths_where(engine, is_changed, others)
        parts.keep(one for one in earlier.files if parts.path_of(one) not in anew)
        if anew:
            unchanged = f"SELECT {', '.join(declared)} FROM {_rows_in(anew)} WHERE NOT {is_changed}"
            parts.write(engine.sql(unchanged).to_arrow_reader(GROUP_ROWS))
    finally:
        engine.unregister("changed_keys")
    with source.batches(_selected(declared), _changed_rows(table, earlier.position), row_bytes) as reader:
        parts.write(_rows_of(reader))


def _changed_rows(table: str, after: int) -> str:
    """The rows that events after a position have changed or made, as the SQL that follows FROM."""
    of = aggregates_of(table)
    if of.row_key is not str:
        return f"{table} WHERE position > {after}"
    # By their keys, which have an index; positions have none.
    stream = f"{of.name}/"
    keys = (
        f"SELECT substr(stream, {len(stream) + 1}) FROM {_events_behind(after)} AND stream GLOB '{stream}*'"
    )
    return f"{table} WHERE {stream_column(table)} IN ({keys})"


def _events_behind(position: int) -> str:
    # NOT INDEXED: else SQLite would read the streams from an index, from its first entry to its last.
    return f"events NOT INDEXED WHERE position > {position}"


def _paths_where(engine: Connection, condition: str, paths: Collection[str]) -> set[str]:
    """The files that have a row for which the condition holds."""
    if not paths:
        return set()
    found = engine.execute(f"SELECT DISTINCT filename FROM {_rows_in(paths)} WHERE {condition}")
    return {path for (path,) in found.fetchall()}


def _rows_in(paths: Collection[str]) -> str:
    names = ", ".join(map(literal, sorted(paths)))
    return f"read_parquet([{names}], filename = true, hive_partitioning = false)"


def _selected(declared: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (kind, f'"{name}"') for name, kind in declared.items()}


def _rows_of(batches: "Iterable[pyarrow.RecordBatch]") -> "Iterator[pyarrow.RecordBatch]":
    """The batches without the first row, which is not one of the table, and the column that marks it."""
    skipped = 1
    for batch in batches:
        place = batch.schema.get_field_index(IS_ROW)
        yield batch.slice(skipped).remove_column(place)
        skipped = 0
