"""Adding backups and the archive to a lake: `export`.

backups ─▶ addition.py, one by one
archive ─▶ archive_source.py, the events after the backups
lake ────▶ merging.py, many small files of the log become few
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from pathlib import Path

import msgspec

from ops.analytics.export.addition import Addition
from ops.analytics.export.archive_source import add_archive
from ops.analytics.export.merging import merge_small, remove_replaced
from ops.analytics.lake.database import write_views
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.layout import sweep
from ops.analytics.lake.locks import LOCK, READERS, locked, open_own, unread
from ops.analytics.lake.manifest import Manifest, read_manifest, write_manifest
from ops.analytics.lake.session import CONFIGURATION, Connection, Engine, require_installed
from ops.backup.metadata import Backup
from ops.backup.opening import opened
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place

# How much memory DuckDB may take while it writes.
ENGINE_MEMORY = "256MB"


class RefusedBackup(msgspec.Struct, frozen=True):
    """A backup that was not exported, and why; `reason` is one word for programs."""

    name: str
    reason: str
    message: str


class ExportReport(msgspec.Struct, kw_only=True):
    """The result of an export. `known` are the backups that the lake had already."""

    lake: str
    exported: list[str] = []
    known: list[str] = []
    refused: list[RefusedBackup] = []
    events: int = 0
    """How many events were written."""
    archived: int = 0
    """How many of them only the archive had."""
    position: int = 0
    """The last position of the newest history that the lake has."""
    unmerged: list[str] = []
    """Why small files of the log stay as they are, though it was time to make few of them."""
    left_out: list[str] = []
    """The tables of which the lake has events and no versions, since their packages are away."""


def export(
    backups: Sequence[Backup],
    lake: Path,
    *,
    store_id: str | None,
    damaged: Iterable[tuple[Place, BackupError]] = (),
    archive: Place | None = None,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
    scratch: Path | None = None,
    progress: Progress = ignore_progress,
) -> ExportReport:
    """Adds the backups that a lake does not have yet; all that was added is on disk when this returns.

    A backup that is damaged or of another store is refused, as the `damaged` ones are, and the others are
    added. The events that an `archive` has beyond the backups are added, too. `store_id` is the store that
    all must be of, if it is known. `identities` decrypt encrypted backups. A backup that is no plain local
    file is made one in `scratch` meanwhile.

    Raises:
        AnalyticsError: there is no such lake to add to, or a needed package is not installed.
        OSError: the disk is full, or a bucket cannot be reached. All that the manifest names by then is
            whole.
    """
    require_installed()
    with locked(lake), ExitStack() as stack:
        # DuckDB is opened when it is first needed: the first checksum is on its way by then.
        engine = cache(lambda: stack.enter_context(_engine()))
        under_way = _Export(lake, engine, _open(lake, store_id or _newest_store(backups)))
        report = under_way.report
        report.refused += [_refused(path.name, error) for path, error in damaged]
        for number, backup in enumerate(sorted(backups, key=lambda one: one.metadata.timestamp)):
            progress("backups", number, len(backups))
            under_way.add(backup, partial(opened, backup, identities, scratch=scratch, progress=progress))
        if archive is not None:
            under_way.add_archive(archive, identities, signing)
        under_way.finish()
    return report


class _Export:
    """One export under way: the lake as it is now, and the report so far."""

    def __init__(self, lake: Path, engine: Engine, manifest: Manifest) -> None:
        self.report = ExportReport(lake=str(lake.absolute()))
        self._lake = lake
        self._engine = engine
        self._manifest = manifest
        self._known = {(one.name, one.checksum) for one in manifest.snapshots}
        self._had = manifest.events

    def add(self, backup: Backup, opening: Callable[[], AbstractContextManager[Backup]]) -> None:
        """Adds a backup if the lake does not have it; `opening` makes a plain local file of it."""
        if (backup.name, backup.metadata.checksum) in self._known:
            self.report.known.append(backup.name)
            return
        try:
            with opening() as plain:
                manifest = Addition(self._lake, self._engine, self._manifest, backup, plain).add()
            self._put(manifest)
            self.report.exported.append(backup.name)
        except BackupError as error:
            self._refuse(_refused(backup.name, error))

    def add_archive(self, archive: Place, identities: Identities, signing: Signing) -> None:
        """Adds the events that an archive has beyond the backups."""
        import duckdb

        of_backups = self._manifest.events
        name = f"the archive {archive}"
        try:
            for extended in add_archive(
                self._lake, self._engine, self._manifest, archive, identities, signing
            ):
                self._put(extended)
        except BackupError as error:
            self._refuse(_refused(name, error))
        except duckdb.Error as error:
            # Adding events of the archive reads the lake's own files.
            self._refuse(RefusedBackup(name, "lake_unreadable", f"the lake cannot be read: {error}"))
        self.report.archived = self._manifest.events - of_backups

    def finish(self) -> None:
        """Makes the views, and merges small files unless a session reads the lake."""
        self.report.events = self._manifest.events - self._had
        if self._manifest.snapshots or self._manifest.stretches:
            write_views(self._lake, self._manifest, self._engine())
        with unread(self._lake) as is_unread:
            if is_unread:
                self._make_few_files()
        self.report.left_out = sorted(self._manifest.left_out)
        if self._manifest.history:
            self.report.position = self._manifest.end_of(self._manifest.history[-1][0])

    def _put(self, manifest: Manifest) -> None:
        write_manifest(self._lake, manifest)
        self._manifest = manifest

    def _refuse(self, refused: RefusedBackup) -> None:
        self.report.refused.append(refused)
        sweep(self._lake, self._manifest)

    def _make_few_files(self) -> None:
        merged, self.report.unmerged = merge_small(self._lake, self._manifest)
        if merged is not self._manifest:
            self._put(merged)
            write_views(self._lake, merged, self._engine())
        # The replaced files go last, when neither the manifest nor the file of the views names them.
        self._manifest = remove_replaced(self._lake, merged)


def _refused(name: str, error: BackupError) -> RefusedBackup:
    return RefusedBackup(name, error.reason, error.message)


def _engine() -> Connection:
    import duckdb

    return duckdb.connect(config=CONFIGURATION | {"memory_limit": ENGINE_MEMORY, "threads": 2})


def _newest_store(backups: Sequence[Backup]) -> str | None:
    newest = max(backups, key=lambda one: one.metadata.timestamp, default=None)
    return None if newest is None else newest.metadata.store_id


def _open(lake: Path, store_id: str | None) -> Manifest:
    """The manifest of an existing lake, or of a new one.

    Raises:
        AnalyticsError: the lake is another store's, or the folder is no lake and not empty.
    """
    manifest = read_manifest(lake)
    if manifest is None:
        if {one.name for one in lake.iterdir()} - {LOCK, READERS}:
            raise AnalyticsError(
                "no_lake", f"{lake} is no lake, and it is not empty", "name another folder with --out"
            )
        open_own(lake / READERS).close()
        manifest = Manifest(store_id=store_id or "")
        if store_id is not None:
            write_manifest(lake, manifest)
        return manifest
    if store_id not in (None, manifest.store_id):
        raise AnalyticsError(
            "foreign",
            f"the lake {lake} is of store {manifest.store_id}, not of {store_id}",
            "name another folder with --out",
        )
    # A copy of a lake may lack the files whose names begin with a dot.
    open_own(lake / READERS).close()
    sweep(lake, manifest)
    return manifest
