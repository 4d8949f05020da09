"""A store as it was, in the place of the present one: `restore`.

validate ─▶ safety backup ─▶ make the file beside the store ─▶ verify ─▶ swap
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import msgspec

from bus.kept_files import make_folder
from ops.archive.reading import read_segment, read_signature
from ops.archive.segment import list_segments
from ops.backup.content import StoreContent
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, list_backups
from ops.backup.opening import plain_metadata
from ops.backup.restoring.materialize import materialize, without_segment
from ops.backup.restoring.restore_path import PRESENT, Moment, RestorePath
from ops.backup.restoring.search import Search
from ops.backup.restoring.swap import WORK_SUFFIX, Intent, swap
from ops.backup.scratch import SCRATCH_PREFIX, sweep
from ops.backup.verify import verified
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import Signing, require_accepted


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore does: `events_lost` are those of the present store that come after the moment."""

    backup: str
    segments: int
    """How many of the archive's are needed."""
    position: int
    timeline: int
    events_lost: int | None
    passed_over: dict[str, str]
    """What would have been nearer, and why it cannot be used."""
    signatures: dict[str, int] = {}
    """How many of the files are whose, as far as they were looked at: `signed by ed25519:…`, `unsigned`."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did: the store is as it was at `position`, and goes on in `timeline`."""

    position: int
    timeline: int
    backup: str
    segments: int
    safety_backup: str | None
    set_aside: str | None
    passed_over: dict[str, str] = {}
    signatures: dict[str, int] = {}
    """How many of the files that it is made of are whose: `signed by ed25519:…`, `unsigned`."""


def plan_restore(
    places: Places,
    moment: Moment,
    *,
    source: Places | None = None,
    identities: Identities = (),
    highest_timeline: int = 0,
    check: bool = False,
    progress: Progress = ignore_progress,
) -> Plan:
    """The restore that `restore` would do now; `check` looks at the backup and the segments for it.

    Raises:
        BackupError: there is no way to that moment, or what there is, is not sound.
        OSError: a bucket is away.
    """
    search = Search(source or places, moment, identities)
    present = search.present
    signatures: Counter[str] = Counter()
    while True:
        restore_path = search.next_path()
        if not check or restore_path.backup is None:
            break
        try:
            with _checked(restore_path, places, present, identities, progress, inside=True):
                break
        except BackupError as error:
            search.pass_over(restore_path.begins_with, error)
    if restore_path.backup is not None:
        signatures[str(restore_path.backup.signature)] += 1
    for number, stretch in enumerate(restore_path.stretches if check else ()):
        progress("archive", number, len(restore_path.stretches))
        try:
            found = read_segment(stretch.segment, identities, places.signing).signature
        except BackupError as error:
            raise without_segment(error, stretch.segment.first - 1) from error
        signatures[str(found)] += 1
    return Plan(
        backup=restore_path.begins_with,
        segments=len(restore_path.stretches),
        position=restore_path.position,
        timeline=1 + _highest_timeline(places, present, restore_path, highest_timeline),
        events_lost=None if present is None else max(0, present.head.position - restore_path.position),
        passed_over=search.passed_over,
        signatures=dict(signatures),
    )


def restore(
    places: Places,
    moment: Moment,
    *,
    version: str,
    safety: bool = True,
    is_damaged: bool = False,
    highest_timeline: int = 0,
    now_ms: int | None = None,
    source: Places | None = None,
    identities: Identities = (),
    progress: Progress = ignore_progress,
) -> Restored:
    """Replaces a store that nobody uses by what it was. Whatever goes wrong, it stays as it is.

    `safety` takes a backup of the present store first; without it, or where the store is too damaged for it
    (as the caller found it to be, perhaps), the store is set aside.
    `highest_timeline` is the highest number that is known elsewhere: to the stream, say. `source` is where
    backups and archive are looked for, if it is not where they are kept. `identities` open what is encrypted.
    A backup that turns out to be damaged is passed over for the next one that leads to the moment, unless it
    is the one that was asked for.

    Raises:
        BackupError: there is no way to that moment, what there is, is not sound, or no key opens it.
        OSError, apsw.Error: the disk is full, a bucket is away.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    store = places.store
    search = Search(source or places, moment, identities)
    present = search.present
    restore_path = search.next_path()
    require_signed(restore_path, places.signing)
    timeline = 1 + _highest_timeline(places, present, restore_path, highest_timeline)
    signatures: Counter[str] = Counter()
    make_folder(store.parent)
    sweep(store.parent)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=store.parent) as scratch:
        safety_backup = _SafetyBackup(
            places=places,
            plain_copy=Path(scratch) / "present.db",
            version=version,
            now_ms=now,
            progress=progress,
            is_possible=present is not None and not is_damaged,
        )
        while True:
            try:
                # Its content is checked once it is copied, before anything is changed.
                with _checked(restore_path, places, present, identities, progress, inside=False) as checked:
                    is_present = restore_path.begins_with == PRESENT
                    if safety or is_present:
                        safety_backup.take(search)
                    begins_with = safety_backup.as_plain_file if is_present else checked
                    signatures = _make(restore_path, begins_with, places, timeline, now, identities, progress)
                break
            except BackupError as error:
                search.pass_over(restore_path.begins_with, error)
            restore_path = search.next_path()
            timeline = 1 + _highest_timeline(places, present, restore_path, highest_timeline)
    return _put_in_place(places, restore_path, timeline, now, safety_backup.taken, search, signatures)


def require_signed(restore_path: RestorePath, signing: Signing) -> None:
    """Returns if everything on a way is signed as it must be: told before anything is touched.

    Raises:
        BackupError: something is not, or is damaged.
        OSError: a bucket is away.
    """
    if restore_path.backup is not None:
        require_accepted(restore_path.backup.name, restore_path.backup.signature)
    # Without that, what is forged is found as it is read.
    for stretch in restore_path.stretches if signing.is_required else ():
        try:
            read_signature(stretch.segment, signing)
        except BackupError as error:
            raise without_segment(error, stretch.segment.first - 1) from error


@contextmanager
def _checked(
    restore_path: RestorePath,
    places: Places,
    present: StoreContent | None,
    identities: Identities,
    progress: Progress,
    *,
    inside: bool,
) -> Iterator[Backup | None]:
    """The verified backup of a path, as a plain local file; `None` where the path begins without one."""
    if restore_path.backup is None:
        yield None
        return
    with verified(
        restore_path.backup.place,
        # What the metadata say of earlier checks may be forged as well.
        whole=True,
        store_id=None if present is None else present.store_id,
        inside=inside,
        identities=identities,
        signing=places.signing,
        scratch=places.store.parent if places.store.parent.is_dir() else None,
        progress=progress,
    ) as plain:
        yield plain


def _make(
    restore_path: RestorePath,
    begins_with: Backup | None,
    places: Places,
    timeline: int,
    now_ms: int,
    identities: Identities,
    progress: Progress,
) -> Counter[str]:
    """Makes the new store beside the present one; none where this fails. Answers how many files are whose."""
    work = places.store.with_name(places.store.name + WORK_SUFFIX)
    try:
        signatures = materialize(
            msgspec.structs.replace(restore_path, backup=begins_with),
            work,
            timeline=timeline,
            now_ms=now_ms,
            identities=identities,
            signing=places.signing,
            progress=progress,
        )
    except BaseException:
        for leftover in work.parent.glob(f"{work.name}*"):
            leftover.unlink()
        raise
    if restore_path.backup is not None:
        signatures[str(restore_path.backup.signature)] += 1
    return signatures


class _SafetyBackup(msgspec.Struct, kw_only=True):
    """The backup of the present store before it is replaced: taken once, unless that is not possible."""

    places: Places
    plain_copy: Path
    version: str
    now_ms: int
    progress: Progress
    is_possible: bool
    taken: Backup | None = None

    def take(self, search: Search) -> None:
        """Takes it, if it is not taken yet; `search` leaves it out, since what is in it is to be replaced."""
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
        except apsw.FullError:
            # A full disk is no damage of the store.
            raise
        except (BackupError, apsw.Error):
            # The store is too damaged, and will be set aside.
            self.is_possible = False
        else:
            search.leave_out(self.taken)

    @property
    def as_plain_file(self) -> Backup:
        """The backup as a plain local file.

        Raises:
            BackupError: it could not be taken.
        """
        if self.taken is None:
            raise BackupError("damaged", "the present store is damaged")
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
    signatures: Counter[str],
) -> Restored:
    """Swaps the made store for the present one, which is set aside where no backup was `taken` of it."""
    store = places.store
    # The old store is deleted only where a backup has it; otherwise, that is its owner's decision.
    set_aside = f"{store.name}.set-aside-{now_ms}" if store.exists() and taken is None else None
    work = store.name + WORK_SUFFIX
    swap(store, Intent(work=work, set_aside=set_aside, position=restore_path.position, timeline=timeline))
    safety_backup = None if taken is None else str(taken.place)
    is_present = restore_path.begins_with == PRESENT
    return Restored(
        position=restore_path.position,
        timeline=timeline,
        backup=safety_backup if safety_backup and is_present else restore_path.begins_with,
        segments=len(restore_path.stretches),
        safety_backup=safety_backup,
        set_aside=None if set_aside is None else str(store.with_name(set_aside)),
        passed_over=search.passed_over,
        signatures=dict(signatures),
    )


def _highest_timeline(
    places: Places, present: StoreContent | None, restore_path: RestorePath, elsewhere: int
) -> int:
    store_id = None if present is None else present.store_id
    known = [one.metadata.timeline for one in list_backups(places.backups, store_id)]
    known += [one.timeline for one in list_segments(places.archive)]
    # A backup that is named by its path may be in none of these places.
    known += [timeline for timeline, _ in restore_path.timelines]
    if restore_path.backup is not None:
        known.append(restore_path.backup.metadata.timeline)
    return max([*known, elsewhere, 0 if present is None else present.timeline])
