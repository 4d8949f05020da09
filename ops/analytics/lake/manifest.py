"""`lake.json`, which says what belongs to a lake: `Manifest`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import File, replaced
from ops.archive.timelines import END, Timelines, history_of
from ops.targets.target import sync_folder

FORMAT = 2
MANIFEST = "lake.json"


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
        """The manifest with more stretches of a history."""
        return msgspec.structs.replace(
            self,
            timelines=dict(sorted((self.timelines | dict(timelines)).items())),
            # That of the two which leads to the newer timeline.
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


def find_snapshot(manifest: Manifest, name: str | None) -> Snapshot | None:
    """A snapshot by the name of its backup; the newest one without a name, `None` if there is none.

    Raises:
        AnalyticsError: there is none of that name.
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
    """Puts the manifest in its place, whole and on disk: from here on, the lake has what it names."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    with replaced(lake / MANIFEST) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(lake)
