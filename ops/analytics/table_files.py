"""The tables as a backup has them, as Parquet: `write_table`.

Between two backups of an hour, few rows change: those of the streams that have new events. So a table is
written from the newest snapshot before it, without these rows, and from the backup, these rows alone; that
takes a third of what reading every row from SQLite would.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from domain.messages import split_stream
from ops.analytics.event_files import copy_to
from ops.analytics.layout import File, finished, replaced, table_path
from ops.analytics.sealed_source import HEAVY_ROW_BYTES, IS_ROW, SealedSource
from projections import jobs
from projections.comparison import HISTORY
from projections.tables import TABLES

if TYPE_CHECKING:
    import duckdb

# A third larger than zstd, and a fifth faster in joins by ids, which take as long to unpack as to compare.
COMPRESSION = "snappy"
# More new events than that: the whole table is read anew.
MOST_NEW_EVENTS = 50_000


class Earlier(msgspec.Struct, frozen=True):
    """A table as an earlier moment of the same history had it, and the keys of rows that changed since."""

    file: File
    position: int
    changed_keys: list[str]


def changed_keys(source: SealedSource, after: int) -> dict[str, list[str]]:
    """The keys of the rows that events behind a position have changed, made or removed, by table.

    For `job_history`, they are those of the jobs.
    """
    keys: dict[str, list[str]] = {}
    for (stream,) in source.rows(f"SELECT DISTINCT stream FROM events WHERE position > {after}"):
        table, key = split_stream(stream)
        if table in TABLES:
            keys.setdefault(table, []).append(TABLES[table].row_key(key))
    keys[HISTORY] = keys.get(jobs.TABLE.name, [])
    return keys


def write_table(
    lake: Path,
    engine: "duckdb.DuckDBPyConnection",
    source: SealedSource,
    table: str,
    snapshot: str,
    *,
    rows: int,
    earlier: Earlier | None,
) -> File | None:
    """Writes every row of a table; `None` where the backup has no such table.

    `rows` is how many there are. What is made from an `earlier` table and has another number is made anew.
    """
    declared = source.columns(table)
    if not declared:
        return None
    path = table_path(lake, table, snapshot)
    row_bytes = source.bytes_in_row(table, rows)
    if row_bytes > HEAVY_ROW_BYTES:
        earlier = None
    if earlier is not None and _columns_of(lake, engine, earlier.file) == list(declared):
        with replaced(path) as temporary:
            written = _write_changed(lake, engine, source, table, declared, earlier, temporary, row_bytes)
            if written != rows:
                temporary.unlink()
        if written == rows:
            return finished(lake, path, written)
    with replaced(path) as temporary, source.batches(_selected(declared), table, row_bytes) as reader:
        query = f"SELECT * EXCLUDE ({IS_ROW}) FROM rows_of_table WHERE {IS_ROW} = 1"
        written = copy_to(engine, query, temporary, row_bytes, COMPRESSION, rows_of_table=reader)
    return finished(lake, path, written)


def _write_changed(
    lake: Path,
    engine: "duckdb.DuckDBPyConnection",
    source: SealedSource,
    table: str,
    declared: dict[str, str],
    earlier: Earlier,
    path: Path,
    row_bytes: int,
) -> int:
    import pyarrow

    if table == HISTORY:
        key = "job_id"
        changed = f"{table} WHERE job_id IN (SELECT id FROM jobs WHERE position > {earlier.position})"
    else:
        key = TABLES[table].primary_key
        changed = f"{table} WHERE position > {earlier.position}"
    before = str(lake / earlier.file.path).replace("'", "''")
    keys = pyarrow.table({"changed_key": pyarrow.array(earlier.changed_keys, type=pyarrow.string())})
    query = (
        f"SELECT * FROM read_parquet('{before}', hive_partitioning = false)"
        f" WHERE {key} NOT IN (SELECT changed_key FROM changed_keys)"
        f" UNION ALL SELECT * EXCLUDE ({IS_ROW}) FROM rows_of_table WHERE {IS_ROW} = 1"
    )
    with source.batches(_selected(declared), changed, row_bytes) as reader:
        return copy_to(engine, query, path, row_bytes, COMPRESSION, rows_of_table=reader, changed_keys=keys)


def _selected(declared: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (kind, f'"{name}"') for name, kind in declared.items()}


def _columns_of(lake: Path, engine: "duckdb.DuckDBPyConnection", file: File) -> list[str]:
    path = str(lake / file.path)
    found = engine.execute("FROM read_parquet($path, hive_partitioning = false) LIMIT 0", {"path": path})
    return [name for name, *_ in found.description]
