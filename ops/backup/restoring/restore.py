"""A store as it was, in the place of the present one: `restore`.

validate ─▶ safety backup ─▶ make the file beside the store ─▶ verify ─▶ swap
"""

import time
from collections import Counter
from collections.abc import Collection
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import msgspec

from bus.kept_files import make_folder
from bus.log import chain
from migrations.sqlite_words import kind_of
from ops.backup.create import create_backup
from ops.backup.metadata import Backup
from ops.backup.opening import plain_metadata
from ops.backup.restoring.going_on import GoingOn
from ops.backup.restoring.materialize import Made, materialize, remove_leftovers
from ops.backup.restoring.plan import checked, gap_before, highest_timeline_of, next_signed, source_of
from ops.backup.restoring.restore_path import PRESENT, Moment, RestorePath
from ops.backup.restoring.search import Search
from ops.backup.restoring.swap import WORK_SUFFIX, Intent, swap
from ops.backup.scratch import SCRATCH_PREFIX, sweep
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a restore: the store is as it was at `position`, and goes on in `timeline`."""

    position: int
    timeline: int
    backup: str
    segments: int
    safety_backup: str | None
    set_aside: str | None
    passed_over: dict[str, str] = {}
    signatures: dict[str, int] = {}
    """The number of files that the store is made of, by signature: `signed by ed25519:…`, `unsigned`."""


def restore(
    places: Places,
    moment: Moment,
    *,
    version: str,
    safety: bool = True,
    is_damaged: bool = False,
    same_as: chain.Head | None = None,
    highest_timeline: int = 0,
    now_ms: int | None = None,
    source: Places | None = None,
    identities: Identities = (),
    progress: Progress = ignore_progress,
) -> Restored:
    """Replaces a store that is not in use by an earlier state of it. If that fails, the store stays as it is.

    `safety` takes a backup of the present store first. Without it, or where the store is too damaged for a
    backup (`is_damaged`, or found now), the old file is set aside. `highest_timeline` is the highest timeline
    that is known elsewhere, for example to the stream. `source` has the backups and the archive, if they are
    not in their usual places. `identities` open encrypted files. A damaged backup is passed over for the next
    one that leads to the moment, unless the caller named it; on the way to the latest, a damaged segment is
    passed over, too. The latest includes all that follows in the present store. A log that must be the
    `same_as` the old one begins no timeline.

    Raises:
        BackupError: there is no way to that moment, a file on it is not sound, or no key opens it.
        OSError, apsw.Error: the disk is full, a bucket is away.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    source = source_of(places, source)
    search = Search(source, moment, identities, repair=same_as is not None)
    present = search.present
    restore_path = next_signed(search, places.signing)
    going_on = GoingOn(places, source, identities) if moment.latest else None
    make = partial(_make, places, now, identities, progress, going_on, same_as)
    timeline = 1 if present is None else present.timeline
    made = Made(0, Counter())
    make_folder(places.store.parent)
    sweep(places.store.parent)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=places.store.parent) as scratch:
        is_possible = present is not None and not is_damaged
        safety_backup = _SafetyBackup(places, Path(scratch), version, now, progress, is_possible)
        while True:
            if same_as is None:
                timeline = 1 + highest_timeline_of(places, present, restore_path, highest_timeline)
            try:
                # The backup's content is checked once it is copied, before anything is changed.
                with checked(restore_path, places, present, identities, progress, inside=False) as sound:
                    is_present = restore_path.begins_with == PRESENT
                    if safety or is_present:
                        safety_backup.take(search)
                    begins_with = safety_backup.as_plain_file if is_present else sound
                    made = make(restore_path, begins_with, search.without, timeline)
                break
            except BackupError as error:
                search.pass_over(error.backup or restore_path.begins_with, error)
            restore_path = next_signed(search, places.signing)
    return _put_in_place(places, restore_path, timeline, now, safety_backup.taken, search, made)


def _make(
    places: Places,
    now_ms: int,
    identities: Identities,
    progress: Progress,
    going_on: GoingOn | None,
    same_as: chain.Head | None,
    restore_path: RestorePath,
    begins_with: Backup | None,
    without: Collection[str],
    timeline: int,
) -> Made:
    """Makes the new store beside the present one; its file is removed if this fails."""
    work = places.store.with_name(places.store.name + WORK_SUFFIX)
    try:
        made = materialize(
            msgspec.structs.replace(restore_path, backup=begins_with),
            work,
            timeline=timeline,
            now_ms=now_ms,
            identities=identities,
            signing=places.signing,
            going_on=None if going_on is None else going_on.past(without),
            same_as=same_as,
            progress=progress,
        )
    except BaseException:
        remove_leftovers(work)
        raise
    if restore_path.backup is not None:
        made.signatures[str(restore_path.backup.signature)] += 1
    return made


class _SafetyBackup(msgspec.Struct):
    """The backup of the present store before it is replaced: taken once, if the store is sound enough."""

    places: Places
    scratch: Path
    version: str
    now_ms: int
    progress: Progress
    is_possible: bool
    taken: Backup | None = None

    def take(self, search: Search) -> None:
        """Takes the backup once; `search` leaves it out, since it has the very state that is replaced."""
        if self.taken is not None or not self.is_possible:
            return
        try:
            self.taken = create_backup(
                self.places.store,
                self.places.backups,
                description="before a restore",
                version=self.version,
                now_ms=self.now_ms,
                sealing=self.places.sealing,
                signing=self.places.signing,
                plain_copy=self.plain_copy,
                progress=self.progress,
            )
        except (BackupError, apsw.Error) as error:
            # A full disk is no damage of the store.
            if issubclass(kind_of(error), apsw.FullError):
                raise
            # The store is too damaged for a backup, and is set aside.
            self.is_possible = False
        else:
            search.leave_out(self.taken)

    @property
    def plain_copy(self) -> Path:
        """The place of its plain copy, unless the backup is a plain file itself."""
        return self.scratch / "present.db"

    @property
    def as_plain_file(self) -> Backup:
        """The backup as a plain local file.

        Raises:
            BackupError: the backup could not be taken.
        """
        if self.taken is None:
            raise BackupError(
                "damaged",
                "the present store is damaged",
                "nothing was changed: `hyperpage backup restore --latest --dry-run` says what backups and"
                " archive bring back",
            )
        if self.taken.is_plain_here:
            return self.taken
        return Backup(self.plain_copy, plain_metadata(self.taken.metadata))


def _put_in_place(
    places: Places,
    restore_path: RestorePath,
    timeline: int,
    now_ms: int,
    taken: Backup | None,
    search: Search,
    made: Made,
) -> Restored:
    """Puts the made store in the place of the present one, which is set aside if no backup was `taken`."""
    store = places.store
    # The old store is deleted only if a backup has it; otherwise the operator decides.
    set_aside = f"{store.name}.set-aside-{now_ms}" if store.exists() and taken is None else None
    work = store.name + WORK_SUFFIX
    swap(store, Intent(work=work, set_aside=set_aside, position=made.position, timeline=timeline))
    safety_backup = None if taken is None else str(taken.place)
    is_present = restore_path.begins_with == PRESENT
    return Restored(
        position=made.position,
        timeline=timeline,
        backup=safety_backup if safety_backup and is_present else restore_path.begins_with,
        segments=len(restore_path.stretches),
        safety_backup=safety_backup,
        set_aside=None if set_aside is None else str(store.with_name(set_aside)),
        passed_over=search.passed_over | gap_before(places, restore_path, made.position),
        signatures=dict(made.signatures),
    )
