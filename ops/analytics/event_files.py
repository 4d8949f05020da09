"""The log as Parquet: `write_events`, `write_rows`."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus import log
from ops.analytics.event_columns import event_expressions
from ops.analytics.layout import EVENTS, File, finished, replaced, stretch_path
from ops.analytics.sealed_source import HEAVY_ROW_BYTES, IS_ROW, SealedSource

if TYPE_CHECKING:
    import duckdb
    import pyarrow

ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 64 * 1024 * 1024
# How the log is packed: half the size of snappy, and as fast to read for what is asked of it.
COMPRESSION = "zstd"

# Text, or bytes where another application keeps such in the log.
_COLUMNS = {
    "position": ("INTEGER", "position"),
    "stream": ("TEXT", "stream"),
    "version": ("INTEGER", "version"),
    "type": ("TEXT", "type"),
    "recorded_at": ("INTEGER", "recorded_at"),
    "command_id": ("TEXT", "command_id"),
    "data": ("TEXT", "iif(typeof(data) = 'text', data, NULL)"),
    "metadata": ("TEXT", "metadata"),
    "hash": ("BLOB", "hash"),
    "data_bytes": ("BLOB", "iif(typeof(data) = 'blob', data, NULL)"),
}


def write_events(
    lake: Path,
    engine: "duckdb.DuckDBPyConnection",
    source: SealedSource,
    timeline: int,
    first: int,
    last: int,
) -> File:
    """Writes the events of some positions; the file is whole and on disk when this returns."""
    where = f"position BETWEEN {first} AND {last}"
    row_bytes = source.bytes_in_row("events", last, where)
    with source.batches(_COLUMNS, f"events WHERE {where}", row_bytes) as reader:
        return _write(lake, engine, reader, timeline, first, last, row_bytes)


def write_rows(
    lake: Path, engine: "duckdb.DuckDBPyConnection", rows: Sequence[log.Row], timeline: int
) -> File:
    """The same of events that are in memory."""
    import pyarrow

    kinds = {"INTEGER": pyarrow.int64(), "TEXT": pyarrow.string(), "BLOB": pyarrow.binary()}
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for row in rows:
        for name in log.Row.__struct_fields__:
            value = getattr(row, name)
            is_bytes = name == "data" and isinstance(value, bytes)
            columns[name].append(None if is_bytes else value)
            if name == "data":
                columns["data_bytes"].append(value if is_bytes else None)
    table = pyarrow.table(
        {name: pyarrow.array(values, kinds[_COLUMNS[name][0]]) for name, values in columns.items()}
        | {IS_ROW: pyarrow.array([1] * len(rows), pyarrow.int64())}
    )
    row_bytes = table.nbytes // len(rows)
    return _write(lake, engine, table, timeline, rows[0].position, rows[-1].position, row_bytes)


def _write(
    lake: Path,
    engine: "duckdb.DuckDBPyConnection",
    rows: "pyarrow.RecordBatchReader | pyarrow.Table",
    timeline: int,
    first: int,
    last: int,
    row_bytes: int,
) -> File:
    path = stretch_path(lake, EVENTS, timeline, first, last)
    query = event_expressions(f"(SELECT * FROM rows_of_events WHERE {IS_ROW} = 1)")
    with replaced(path) as temporary:
        written = copy_to(engine, query, temporary, row_bytes, rows_of_events=rows)
    return finished(lake, path, written)


def copy_to(
    engine: "duckdb.DuckDBPyConnection",
    query: str,
    path: Path,
    row_bytes: int,
    compression: str = COMPRESSION,
    **sources: "pyarrow.RecordBatchReader | pyarrow.Table",
) -> int:
    """Writes the answer to a query as Parquet; how many rows it has.

    A row weighs `row_bytes`. `sources` are the names that the query uses; where rows are heavy, there is one,
    and the query makes of each row what it makes of it alone.
    """
    if row_bytes > HEAVY_ROW_BYTES:
        return _copy_heavy(engine, query, path, compression, **sources)
    for name, reader in sources.items():
        engine.register(name, reader)
    try:
        target = str(path).replace("'", "''")
        found = engine.execute(
            f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION {compression},"
            f" ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        ).fetchone()
        return int(found[0]) if found else 0
    finally:
        for name in sources:
            engine.unregister(name)


def _copy_heavy(
    engine: "duckdb.DuckDBPyConnection",
    query: str,
    path: Path,
    compression: str,
    **source: "pyarrow.RecordBatchReader | pyarrow.Table",
) -> int:
    """Batch by batch, since DuckDB holds some thousand rows at a time, or all of them."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    [(name, rows)] = source.items()
    batches = rows.to_batches() if isinstance(rows, pyarrow.Table) else rows
    written = 0
    gathered: list[pyarrow.Table] = []
    with ExitStack() as stack:
        writer: ParquetWriter | None = None
        for batch in chain(batches, (None,)):
            if batch is not None:
                engine.register(name, pyarrow.Table.from_batches([batch]))
                gathered.append(engine.sql(query).to_arrow_table())
                engine.unregister(name)
            if gathered and (batch is None or sum(one.nbytes for one in gathered) >= ROW_GROUP_BYTES):
                group = pyarrow.concat_tables(gathered)
                writer = writer or stack.enter_context(
                    ParquetWriter(path, group.schema, compression=compression)
                )
                writer.write_table(group, row_group_size=max(1, group.num_rows))
                written += group.num_rows
                gathered = []
    return written
