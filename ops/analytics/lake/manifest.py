"""`lake.json`, which lists the files that belong to a lake: `Manifest`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from bus.kept_files import sync_folder
from migrations.aggregate_tables import MAXIMUM_TABLES
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import File, RelativePath, Stamp, TableName, replaced
from ops.archive.timelines import END, Timelines, history_of
from ops.targets.regular_files import read_regular, require_regular

FORMAT = 3
# The older format, which is read like today's: in it, names of tables have no digits.
_BEFORE = 2
MANIFEST = "lake.json"
# Ten thousand snapshots take some tens of megabytes.
MAXIMUM_MANIFEST_BYTES = 512 * 1024 * 1024


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Some events of one timeline, in order and without a gap, and the row versions that follow from them.

    `files` has those of `events`, and of the versions of each table that has any. `left_out` are tables of
    which there are events and no versions, since the packages that bring them were not there at the export.
    """

    timeline: int
    first: int
    last: int
    last_hash: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    files: dict[TableName, tuple[File, ...]]
    left_out: Annotated[tuple[TableName, ...], msgspec.Meta(max_length=MAXIMUM_TABLES)] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was exported. Times are milliseconds, hashes hexadecimal.

    `snapshot` is what its folders are called by. `tables` has the files of each table.
    """

    snapshot: Stamp
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
    tables: dict[TableName, tuple[File, ...]]
    file_size: int | None = None
    """The size of the SQLite file in it, where it is compressed or encrypted."""
    repairs: int = 0
    """How often rows had been repaired without an event, as the file's header counts it."""

    def is_part_of(self, timelines: Timelines, position: int = END) -> bool:
        """Whether this snapshot is a moment of a history up to a position."""
        ends = {timeline: last for timeline, _, last in history_of(timelines, position)}
        return timelines[: len(self.timelines)] == self.timelines and self.position <= ends.get(
            self.timeline, 0
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a lake: `stretches` in order of timeline and position, `snapshots` in order of time."""

    format: int = FORMAT
    store_id: str
    timelines: dict[int, int] = {}
    """Number and first position of each timeline that is known."""
    history: Timelines = ()
    """The timelines of the newest history that is known, in order."""
    stretches: tuple[Stretch, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    replaced: tuple[RelativePath, ...] = ()
    """Files that others have taken the place of: no part of the lake, but a session may still read them."""

    @property
    def events(self) -> int:
        """How many events the lake has, of all timelines."""
        return sum(one.last - one.first + 1 for one in self.stretches)

    @property
    def left_out(self) -> set[str]:
        """The tables of which the lake has events and no rows, since their packages were not installed."""
        return {table for one in self.stretches for table in one.left_out}

    def end_of(self, timeline: int) -> int:
        """The last position of a timeline that the lake has; 0 where it has none."""
        return max((one.last for one in self.stretches if one.timeline == timeline), default=0)

    def extended(self, timelines: Timelines, stretches: Sequence[Stretch]) -> "Manifest":
        """The manifest with more stretches of a history."""
        return msgspec.structs.replace(
            self,
            timelines=dict(sorted((self.timelines | dict(timelines)).items())),
            # The history of the two that leads to the newer timeline.
            history=max(self.history, timelines, key=lambda one: one[-1][0] if one else 0),
            stretches=tuple(sorted((*self.stretches, *stretches), key=lambda one: (one.timeline, one.first))),
        )

    def paths(self) -> Iterator[str]:
        """The path of every file of the lake, except those that each export replaces."""
        for stretch in self.stretches:
            yield from (file.path for files in stretch.files.values() for file in files)
        for snapshot in self.snapshots:
            yield from (file.path for files in snapshot.tables.values() for file in files)


def read_manifest(lake: Path) -> Manifest | None:
    """The manifest of a lake; `None` if there is none yet.

    The lake may come from elsewhere, so a manifest is refused in which the path of a file leads out of the
    lake, by its name or by a link.

    Raises:
        AnalyticsError: it cannot be read, names files that no lake has, or another version wrote it.
    """
    path = lake / MANIFEST
    try:
        content = read_regular(path, MAXIMUM_MANIFEST_BYTES, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AnalyticsError(
            "manifest_damaged",
            f"{path} cannot be read: {error.strerror}",
            "see whose file it is; or export into another folder: everything in a lake comes from"
            " the backups",
        ) from error
    manifest = _decoded(path, content)
    _require_inside(lake, manifest)
    return manifest


def _decoded(path: Path, content: bytes) -> Manifest:
    try:
        found = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("format", b"null")
        if bytes(found) not in (b"%d" % _BEFORE, b"%d" % FORMAT):
            raise AnalyticsError(
                "unknown_format",
                f"{path} is of format {bytes(found).decode()}, and this program reads {FORMAT}",
                "use the version of the program that wrote it, or export into another folder",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
        # The next export writes it in today's format.
        return msgspec.structs.replace(manifest, format=FORMAT)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnalyticsError(
            "manifest_damaged",
            f"{path} cannot be read: {error}",
            "remove the folder and export again: everything in it comes from the backups",
        ) from None


def _require_inside(lake: Path, manifest: Manifest) -> None:
    """Returns if each named file is a regular one, or missing, and no folder above it is a link."""
    paths = {*manifest.paths(), *manifest.replaced}
    folders = {path.rpartition("/")[0] for path in paths}
    for folder in sorted(folders | {folder.partition("/")[0] for folder in folders}):
        if (lake / folder).is_symlink():
            raise _leads_out(lake / folder, "it is a link")
    for path in paths:
        try:
            require_regular(lake / path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            # A reader of the missing file reports it, and an export goes on without it.
            continue
        except OSError as error:
            raise _leads_out(lake / path, str(error.strerror)) from error


def _leads_out(path: Path, why: str) -> AnalyticsError:
    return AnalyticsError(
        "lake_unsafe",
        f"{path} is no part of a lake: {why}",
        "look at where the lake came from; everything in one can be exported again from the backups",
    )


def require_manifest(lake: Path) -> Manifest:
    """The manifest of an existing lake.

    Raises:
        AnalyticsError: there is no lake, or its manifest is refused.
    """
    manifest = read_manifest(lake)
    if manifest is None:
        raise AnalyticsError(
            "no_lake", f"there is no lake in {lake}", f"`hyperpage analytics export --out {lake}` makes one"
        )
    return manifest


def find_snapshot(manifest: Manifest, name: str | None) -> Snapshot | None:
    """The snapshot of a backup by its name; without a name, the newest one, or `None` if there is none.

    Raises:
        AnalyticsError: there is no snapshot of that name.
    """
    if name is None:
        return max(manifest.snapshots, key=lambda one: one.timestamp, default=None)
    for one in manifest.snapshots:
        if Path(name).name in (one.name, one.snapshot):
            return one
    raise AnalyticsError(
        "not_found",
        f"the lake has no snapshot {name}",
        "`hyperpage analytics sql 'SELECT name FROM snapshots'` lists them",
    )


def write_manifest(lake: Path, manifest: Manifest) -> None:
    """Writes the manifest, whole and on disk: from then on, the files that it names are the lake's."""
    written = msgspec.structs.replace(manifest, format=FORMAT)
    content = msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n"
    with replaced(lake / MANIFEST) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(lake)
