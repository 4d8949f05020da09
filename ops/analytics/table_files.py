"""The tables as a backup has them, as Parquet: `write_table`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ops.analytics.event_files import copy_to
from ops.analytics.layout import File, finished, replaced, table_path
from ops.analytics.sealed_source import IS_ROW, SealedSource

if TYPE_CHECKING:
    import duckdb


def write_table(
    lake: Path, engine: "duckdb.DuckDBPyConnection", source: SealedSource, table: str, snapshot: str
) -> File | None:
    """Writes every row of a table; `None` where the backup has no such table."""
    declared = source.columns(table)
    if not declared:
        return None
    columns = {name: (kind, f'"{name}"') for name, kind in declared.items()}
    path = table_path(lake, table, snapshot)
    with replaced(path) as temporary, source.batches(columns, table) as reader:
        query = f"SELECT * EXCLUDE ({IS_ROW}) FROM rows_of_table WHERE {IS_ROW} = 1"
        written = copy_to(engine, query, temporary, rows_of_table=reader)
    return finished(lake, path, written)
