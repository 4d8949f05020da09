"""The layout of a lake: the folders and files in it, of which `lake.json` lists those that belong to it.

    LAKE/
        lake.json                                     the manifest, replaced as a whole
        lake.duckdb                                   the views and macros, for any DuckDB
        events/timeline=1/events-000000000001-000000250000.parquet
        jobs/snapshot=20261124T081500000Z/jobs-1.parquet
        jobs_versions/timeline=1/jobs_versions-000000000001-000000250000.parquet

and so on for each table. Every file is written under another name first, and gets its name when it is whole.
A file that the manifest does not name is no part of the lake: an interrupted export left it behind, and the
next one removes it. No file changes once the manifest names it. A part of a table that has not changed since
an earlier snapshot is the same file under a second name. Small files of the log are merged in time
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
    """The path of the events or row versions of a range; several files of one range have suffixes."""
    return lake / table / f"timeline={timeline}" / f"{table}-{first:012d}-{last:012d}{suffix}.parquet"


def table_path(lake: Path, table: str, snapshot: str, number: int) -> Path:
    """The path of a part of a snapshot's table; parts are counted from 1."""
    return lake / table / f"snapshot={snapshot}" / f"{table}-{number}.parquet"


def stamp_of(name: str, timestamp: int) -> str:
    """The name of the folders of a backup's tables: the time at which it was begun, as in its name."""
    stem = name.removeprefix(PREFIX).split(".", 1)[0]
    if name.startswith(PREFIX) and stem.isascii() and stem.isalnum():
        return stem
    moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{timestamp % 1000:03d}Z"


def sweep(lake: Path, manifest: Manifest) -> None:
    """Removes the files that interrupted exports have left in the lake's folders."""
    named: dict[str, set[str]] = {}
    for path in (*manifest.paths(), *manifest.replaced):
        folder, _, name = path.rpartition("/")
        named.setdefault(folder, set()).add(name)
    for table in lake.iterdir():
        # Links are not followed: what they lead to is no part of the lake.
        for folder in _names_in(table) if table.is_dir() and not table.is_symlink() else ():
            if "=" in folder and not (table / folder).is_symlink() and (table / folder).is_dir():
                _sweep_folder(table / folder, named.get(f"{table.name}/{folder}", set()))


def _sweep_folder(folder: Path, named: set[str]) -> None:
    # There is such a folder for each table of each backup. Usually only the names in it have to be read.
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
