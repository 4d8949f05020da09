"""A lake: what is where in its folder, and `lake.json`, which says what belongs to it.

    LAKE/
        lake.json                                     the manifest, replaced as a whole
        lake.duckdb                                   the views and macros, for any DuckDB
        events/timeline=1/events-000000000001-000000250000.parquet
        jobs/snapshot=20261124T081500000Z/jobs-1.parquet
        jobs_versions/timeline=1/jobs_versions-000000000001-000000250000.parquet

and so on for each table. Every file is written under another name first, and is there when it is whole. A
file that the manifest does not name is no part of the lake: an export that was cut off left it behind, and
the next one removes it. Nothing changes a file once the manifest names it. A part of a table that is still
as an earlier snapshot had it is the same file under a second name. Small files of the log become one in time
(ops/analytics/export/merging.py).
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from ops.analytics.lake.files import TEMPORARY_SUFFIX
from ops.analytics.lake.manifest import Manifest
from ops.backup.metadata import PREFIX

DATABASE = "lake.duckdb"
EVENTS = "events"
VERSIONS = "_versions"


def stretch_path(lake: Path, table: str, timeline: int, first: int, last: int, suffix: str = "") -> Path:
    """Where the events or row versions of some positions go; several files of the same have suffixes."""
    return lake / table / f"timeline={timeline}" / f"{table}-{first:012d}-{last:012d}{suffix}.parquet"


def table_path(lake: Path, table: str, snapshot: str, number: int) -> Path:
    """Where a part of a table of a snapshot goes; they are counted from 1."""
    return lake / table / f"snapshot={snapshot}" / f"{table}-{number}.parquet"


def stamp_of(name: str, timestamp: int) -> str:
    """The name of the folders of a backup's tables: when it was begun, as the name of the backup says."""
    stem = name.removeprefix(PREFIX).split(".", 1)[0]
    if name.startswith(PREFIX) and stem.isascii() and stem.isalnum():
        return stem
    moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{timestamp % 1000:03d}Z"


def sweep(lake: Path, manifest: Manifest) -> None:
    """Removes what exports that were cut off have left in the lake's folders."""
    named: dict[str, set[str]] = {}
    for path in (*manifest.paths(), *manifest.replaced):
        folder, _, name = path.rpartition("/")
        named.setdefault(folder, set()).add(name)
    for table in lake.iterdir():
        # What links lead to is no part of the lake, and stays as it is.
        for folder in _names_in(table) if table.is_dir() and not table.is_symlink() else ():
            if "=" in folder and not (table / folder).is_symlink() and (table / folder).is_dir():
                _sweep_folder(table / folder, named.get(f"{table.name}/{folder}", set()))


def _sweep_folder(folder: Path, named: set[str]) -> None:
    # Each table of each backup has such a folder. Where all is right, only the names in it are looked at.
    found = _names_in(folder)
    for name in found - named:
        if name.endswith((".parquet", ".parquet" + TEMPORARY_SUFFIX)):
            (folder / name).unlink()
            found.discard(name)
    if not found:
        folder.rmdir()


def _names_in(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        return {one.name for one in entries}
