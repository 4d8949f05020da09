"""Files for any DuckDB, without this program.

`write_views` writes one into a lake, `write_database` one that needs no lake.
"""

from pathlib import Path

from ops.analytics.lake.catalogue import Catalogue
from ops.analytics.lake.columns import literal
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import replaced
from ops.analytics.lake.layout import DATABASE
from ops.analytics.lake.manifest import Manifest, require_manifest
from ops.analytics.lake.session import Connection, connect, require_installed

# The storage version that DuckDB 1.0 and newer can read.
STORAGE = "v1.0.0"


def write_views(lake: Path, manifest: Manifest, engine: Connection) -> None:
    """Writes `lake.duckdb` into a lake: its views and macros. It is small, since the rows stay in Parquet.

    The views read the lake in its present folder, or in the one that a session sets the variable `lake` to.

    Raises:
        AnalyticsError: a file that the columns are read from is damaged or missing, or the disk is full.
    """
    import duckdb

    try:
        with replaced(lake / DATABASE) as temporary:
            temporary.unlink(missing_ok=True)
            with engine.cursor() as session:
                session.execute(f"ATTACH {literal(temporary)} AS target (STORAGE_VERSION '{STORAGE}')")
                session.execute("USE target")
                # In one transaction, since each statement by itself would wait for the disk.
                session.execute("BEGIN")
                for statement in Catalogue(manifest, lake, movable=True).statements():
                    session.execute(statement)
                session.execute("COMMIT")
                session.execute("USE memory")
                session.execute("DETACH target")
    except duckdb.Error as error:
        raise AnalyticsError(
            "not_written",
            f"the views of the lake {lake} cannot be written: {error}",
            "if a file of it is damaged, remove the folder and export again: it comes from the backups",
        ) from error


def write_database(lake: Path, file: Path, *, snapshot: str | None = None) -> None:
    """Writes the log, the versions and the tables that a lake shows into one file, which needs no lake.

    It has the same views and macros, except for those of other timelines and snapshots (`all_…`).

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot, one of its files is damaged or missing, or
            the disk is full.
    """
    require_installed()
    import duckdb

    manifest = require_manifest(lake)
    catalogue = Catalogue(manifest, lake, snapshot=snapshot)
    try:
        with (
            replaced(file) as temporary,
            connect(lake, snapshot=snapshot, confined=True, writing=[temporary]) as engine,
        ):
            engine.execute(f"ATTACH {literal(temporary)} AS target (STORAGE_VERSION '{STORAGE}')")
            for name in catalogue.shown():
                engine.execute(f"CREATE TABLE target.{name} AS FROM memory.{name}")
            engine.execute("USE target")
            for statement in (*catalogue.times, *catalogue.derived(events=catalogue.shown_events)):
                engine.execute(statement)
            engine.execute("USE memory")
            engine.execute("DETACH target")
    except duckdb.Error as error:
        raise AnalyticsError(
            "not_written",
            f"{file} cannot be written: {error}",
            "the lake is as it was: make room, end what has the file open, or name another file with --out",
        ) from error
