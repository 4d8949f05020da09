"""Analytics: SQL over backups and the whole history, offline, with DuckDB and Parquet.

layout          what is where in a lake, and the manifest that says so
locks           who may do what with it at the same time
sealed_source   a sealed backup, read into Arrow
archive_source  what the archive has beyond the backups
event_columns   the keys of events that become typed columns
event_files     the log as Parquet
log_files       how these are written
row_groups      rows that are gathered until they are a group of such a file
row_versions    every row after every event, as Parquet
table_files     the tables as a backup has them
table_parts     one of them as files
merging         small files of the log become one
export          all of this, into a lake
catalogue       the views and macros over a lake
session         a connection that has them: `connect`
asking          one query, its answer as a table, CSV, JSON or Parquet
difference      what became of each row between two moments
report          a page of charts that answers what people ask
database        the same views for any DuckDB, and one file to hand around
requirements    what has to be installed for all of this
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(lake: Path | str, *, snapshot: str | None = None) -> "duckdb.DuckDBPyConnection":
    """A DuckDB connection, in memory, that has the views and macros of a lake.

    They show the newest snapshot, or the one that is named by its backup's file name.

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot, or DuckDB is not installed.
    """
    from ops.analytics.lake.session import connect

    return connect(Path(lake), snapshot=snapshot)
