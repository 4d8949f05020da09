"""A connection with the views and macros of a lake: `connect`, and `require_installed` for its packages."""

import weakref
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.locks import held
from ops.analytics.lake.manifest import require_manifest
from ops.analytics.lake.times import setting_of, unknown_time_zone

if TYPE_CHECKING:
    import duckdb

Connection: TypeAlias = "duckdb.DuckDBPyConnection"
# Opens DuckDB, or returns the open connection.
Engine: TypeAlias = Callable[[], Connection]

# The needed packages, by the names of their modules.
_NEEDED = {"duckdb": "duckdb", "pyarrow": "pyarrow", "adbc_driver_sqlite": "adbc-driver-sqlite"}
CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    # DuckDB downloads no extension: all that are needed are linked in.
    "autoinstall_known_extensions": False,
    # The files of a lake never change, so the metadata of each are read once.
    "parquet_metadata_cache": True,
}


def require_installed() -> None:
    """Returns if all packages that analytics need are installed.

    Raises:
        AnalyticsError: one is missing; the hint says how to get it.
    """
    missing = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise AnalyticsError(
            "not_installed",
            f"analytics needs {', '.join(missing)}",
            "in a copy of the repository: `pip install '.[analytics]'`, or `uv sync --extra analytics`",
        )


def connect(
    lake: Path,
    *,
    snapshot: str | None = None,
    time_zone: str | None = None,
    confined: bool = False,
    writing: Sequence[Path] = (),
    extension: str | None = None,
) -> Connection:
    """A connection to a database in memory whose views show a lake; what is made there ends with it.

    With a `time_zone` such as `Europe/Berlin`, times are shown, grouped and read in it.

    A `confined` connection reads the lake and nothing else, whatever the query, and writes nothing but the
    files named in `writing`. An `extension` of DuckDB is loaded if it is linked in or installed already.

    The files of the lake are kept as long as the connection object exists, since there is no notice when it
    is closed. A cursor of the connection does not keep them.

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot, a file of it cannot be read, there is no
            such time zone, or DuckDB or the extension is not installed.
    """
    require_installed()
    setting = setting_of(time_zone)
    import duckdb

    from ops.analytics.lake.catalogue import Catalogue

    files = held(lake)
    manifest = require_manifest(lake)
    connection = duckdb.connect(config=CONFIGURATION)
    if files is not None:
        weakref.finalize(connection, files.close)
    try:
        if extension is not None:
            _load(connection, extension)
        if confined:
            _confine(connection, lake, writing)
        _set_zone(connection, setting, time_zone)
        for statement in Catalogue(manifest, lake, snapshot=snapshot, time_zone=time_zone).statements():
            connection.execute(statement)
        if confined:
            connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise AnalyticsError(
            "lake_unreadable",
            f"the lake {lake} cannot be read: {str(error).strip()}",
            "if a file of it is damaged, remove the folder and export again: it comes from the backups",
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _load(connection: Connection, extension: str) -> None:
    import duckdb

    try:
        connection.execute(f"LOAD {extension}")
    except duckdb.Error as error:
        raise AnalyticsError(
            "not_installed",
            f"DuckDB's extension {extension} is neither linked in nor installed; nothing is fetched unasked",
            f"`INSTALL {extension}` in a DuckDB of the same version fetches it; --format csv needs none",
        ) from error


def _set_zone(connection: Connection, setting: str, time_zone: str | None) -> None:
    import duckdb

    try:
        connection.execute(setting)
    except duckdb.Error as error:
        # DuckDB knows no names that mean another zone on each machine, such as `localtime`.
        raise unknown_time_zone(time_zone) from error


def _confine(connection: Connection, lake: Path, writing: Sequence[Path]) -> None:
    connection.execute("SET allowed_directories = [$lake]", {"lake": f"{lake.absolute()}/"})
    # DuckDB writes a WAL beside a database file.
    suffixes = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
    paths = [f"{one.absolute()}{suffix}" for one in writing for suffix in suffixes]
    connection.execute("SET allowed_paths = $paths", {"paths": paths})
    connection.execute("SET enable_external_access = false")
