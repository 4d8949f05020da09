"""Analytics: SQL over backups and the whole history, offline, with DuckDB and Parquet.

report    a page of charts for operators
asking    one query and its result; the difference of all rows between two moments
export    adds backups and the archive to a lake
lake      the files of a lake, and a connection with its views
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# How long after it was due a job counts as late in a report.
DEFAULT_SLA = "1h"


def connect(
    lake: Path | str, *, snapshot: str | None = None, time_zone: str | None = None
) -> "duckdb.DuckDBPyConnection":
    """A DuckDB connection, in memory, that has the views and macros of a lake.

    They show the newest snapshot, or the one that is named by its backup's file name. Times are in UTC and
    have no zone; with a `time_zone` such as `Europe/Berlin`, they have it, and days begin at its midnight.

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot, there is no such time zone, or DuckDB is
            not installed.
    """
    from ops.analytics.lake.session import connect

    return connect(Path(lake), snapshot=snapshot, time_zone=time_zone)
