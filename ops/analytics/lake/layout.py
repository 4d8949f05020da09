"""A lake: what is where in its folder, and `lake.json`, which says what belongs to it.

    LAKE/
        lake.json                                     the manifest, replaced as a whole
        lake.duckdb                                   the views and macros, for any DuckDB
        events/timeline=1/events-000000000001-000000250000.parquet
        jobs/snapshot=20261124T081500000Z/jobs-1.parquet
        jobs_versions/timeline=1/jobs_versions-000000000001-000000250000.parquet

and so on for each table. Every file is written under another name first, and is there when it is whole. One
that the manifest does not name is no part of the lake: an export that was cut off left it behind, and the
next one removes it. Nothing changes a file once the manifest names it. What a table still has as an earlier
snapshot had it, is the same file under a second name. Small files of the log become one in time
(ops/analytics/export/merging.py).
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ops.backup.metadata import PREFIX
from ops.targets.target import sync_folder

if TYPE_CHECKING:
    import pyarrow

Timelines = tuple[tuple[int, int], ...]

FORMAT = 2
MANIFEST = "lake.json"
DATABASE = "lake.duckdb"
EVENTS = "events"
VERSIONS = "_versions"
_TEMPORARY = ".tmp"
_CHUNK_BYTES = 1024 * 1024


class AnalyticsError(RuntimeError):
    """Something cannot be had of a lake; `reason` is one word for programs, `hint` says what to do.

    Reasons: `not_installed`, `no_lake`, `unknown_format`, `manifest_damaged`, `foreign`, `in_use`,
    `not_written`, `not_found`, `unreachable_moment`, `not_a_moment`, `empty_period`, `not_a_query`,
    `query_failed`.
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of the lake. `path` is relative to the lake's folder, the checksum is its SHA-256.

    Files that have the same `columns` have columns of the same names and types, in the same order.
    """

    path: str
    rows: int
    size: int
    sha256: str
    columns: str = ""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Some events of one timeline, in order and without a gap, and the row versions that follow from them.

    `files` has those of `events`, and of the versions of each table that has any.
    """

    timeline: int
    first: int
    last: int
    last_hash: str
    files: dict[str, tuple[File, ...]]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was exported. Times are milliseconds, hashes hexadecimal.

    `snapshot` is what its folders are called by. `tables` has the files of each table.
    """

    snapshot: str
    name: str
    timestamp: int
    description: str
    timeline: int
    timelines: tuple[tuple[int, int], ...]
    position: int
    head_hash: str
    last_recorded_at: int | None
    size: int
    checksum: str
    version: str
    tables: dict[str, tuple[File, ...]]
    file_size: int | None = None
    """Of the SQLite file in it, where it is compressed or encrypted."""
    repairs: int = 0
    """How often rows had been put right without an event, as the file's header counts it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a lake has. `stretches` are in order of timeline and position, `snapshots` in order of time."""

    format: int = FORMAT
    store_id: str
    timelines: dict[int, int] = {}
    """Number and first position of each timeline that is known."""
    history: Timelines = ()
    """The timelines of the newest history that is known, in order."""
    stretches: tuple[Stretch, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    replaced: tuple[str, ...] = ()
    """Files that others have taken the place of: no part of the lake, but a session may still read them."""

    @property
    def events(self) -> int:
        """How many events the lake has, of all timelines."""
        return sum(one.last - one.first + 1 for one in self.stretches)

    def end_of(self, timeline: int) -> int:
        """The last position of a timeline that the lake has; 0 where it has none."""
        return max((one.last for one in self.stretches if one.timeline == timeline), default=0)

    def extended(self, timelines: Timelines, stretches: Sequence[Stretch]) -> "Manifest":
        """The manifest with more stretches, of a history."""
        return msgspec.structs.replace(
            self,
            timelines=dict(sorted((self.timelines | dict(timelines)).items())),
            history=newer_history(self.history, timelines),
            stretches=tuple(sorted((*self.stretches, *stretches), key=lambda one: (one.timeline, one.first))),
        )

    def paths(self) -> Iterator[str]:
        """Every file that belongs to the lake, but for those that each export replaces."""
        for stretch in self.stretches:
            yield from (file.path for files in stretch.files.values() for file in files)
        for snapshot in self.snapshots:
            yield from (file.path for files in snapshot.tables.values() for file in files)


def read_manifest(lake: Path) -> Manifest | None:
    """The manifest of a lake; `None` where there is none yet.

    Raises:
        AnalyticsError: it cannot be read, or another version wrote it.
    """
    path = lake / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("format", b"null")
        if bytes(found) != b"%d" % FORMAT:
            raise AnalyticsError(
                "unknown_format",
                f"{path} is of format {bytes(found).decode()}, and this program reads {FORMAT}",
                "use the version of the program that wrote it, or export into another folder",
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnalyticsError(
            "manifest_damaged",
            f"{path} cannot be read: {error}",
            "remove the folder and export again: everything in it comes from the backups",
        ) from None


def require_manifest(lake: Path) -> Manifest:
    """The manifest of a lake that is there.

    Raises:
        AnalyticsError: it is not.
    """
    manifest = read_manifest(lake)
    if manifest is None:
        raise AnalyticsError(
            "no_lake", f"there is no lake in {lake}", f"`hyperpage analytics export --out {lake}` makes one"
        )
    return manifest


def write_manifest(lake: Path, manifest: Manifest) -> None:
    """Puts the manifest in its place, whole and on disk: from here on, the lake has what it names."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    with replaced(lake / MANIFEST) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(lake)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Another path in the same folder; what is there when the block ends takes the place of `path`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def finished(lake: Path, path: Path, rows: int) -> File:
    """What the manifest says of a file that is whole; it is on disk when this returns."""
    from pyarrow.parquet import read_schema

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    return File(
        path=path.relative_to(lake).as_posix(),
        rows=rows,
        size=size,
        sha256=digest.hexdigest(),
        columns=columns_digest(read_schema(path)),
    )


def arrow_schema(declared: Mapping[str, str]) -> "pyarrow.Schema":
    """Columns with the types that SQLite's table declares for them."""
    import pyarrow

    kinds = {
        "INTEGER": pyarrow.int64(),
        "TEXT": pyarrow.string(),
        "REAL": pyarrow.float64(),
        "BLOB": pyarrow.binary(),
    }
    return pyarrow.schema([(name, kinds[kind]) for name, kind in declared.items()])


def columns_digest(schema: "pyarrow.Schema") -> str:
    """The same for all files that have columns of the same names and types, in the same order."""
    columns = "\n".join(f"{one.name} {one.type}" for one in schema)
    return hashlib.sha256(columns.encode()).hexdigest()[:16]


def sweep(lake: Path, manifest: Manifest) -> None:
    """Removes what exports that were cut off have left in the lake's folders."""
    named: dict[str, set[str]] = {}
    for path in (*manifest.paths(), *manifest.replaced):
        folder, _, name = path.rpartition("/")
        named.setdefault(folder, set()).add(name)
    for table in lake.iterdir():
        for folder in _names_in(table) if table.is_dir() else ():
            if "=" in folder:
                _sweep_folder(table / folder, named.get(f"{table.name}/{folder}", set()))


def _sweep_folder(folder: Path, named: set[str]) -> None:
    # There is one for each table of each backup: where all is right, only the names are looked at.
    found = _names_in(folder)
    for name in found - named:
        if name.endswith((".parquet", ".parquet" + _TEMPORARY)):
            (folder / name).unlink()
            found.discard(name)
    if not found:
        folder.rmdir()


def _names_in(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        return {one.name for one in entries}


def history_of(timelines: Timelines, position: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and last position of each timeline as far as a history goes through it."""
    for place, (timeline, first) in enumerate(timelines):
        end = timelines[place + 1][1] - 1 if place + 1 < len(timelines) else position
        if first <= min(end, position):
            yield timeline, first, min(end, position)


def is_part(snapshot: Snapshot, timelines: Timelines, position: int) -> bool:
    """Whether what a snapshot has is part of a history up to a position."""
    ends = {timeline: last for timeline, _, last in history_of(timelines, position)}
    return timelines[: len(snapshot.timelines)] == snapshot.timelines and snapshot.position <= ends.get(
        snapshot.timeline, 0
    )


def newer_history(one: Timelines, other: Timelines) -> Timelines:
    """That of the two that leads to the newer timeline."""
    return max(one, other, key=lambda timelines: timelines[-1][0] if timelines else 0)


def stamp_of(name: str, timestamp: int) -> str:
    """What the folders of a backup's tables are called by: when it was begun, as its name has it."""
    stem = name.removeprefix(PREFIX).split(".", 1)[0]
    if name.startswith(PREFIX) and stem.isalnum():
        return stem
    moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{timestamp % 1000:03d}Z"


def stretch_path(lake: Path, table: str, timeline: int, first: int, last: int, suffix: str = "") -> Path:
    """Where the events or row versions of some positions go; several files of the same have suffixes."""
    return lake / table / f"timeline={timeline}" / f"{table}-{first:012d}-{last:012d}{suffix}.parquet"


def table_path(lake: Path, table: str, snapshot: str, number: int) -> Path:
    """Where a part of a table of a snapshot goes; they are counted from 1."""
    return lake / table / f"snapshot={snapshot}" / f"{table}-{number}.parquet"


def literal(value: object) -> str:
    """A value as SQL has it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
