"""A store as it was, in the place of the present one: `restore`.

validate ─▶ safety backup ─▶ make the file beside the store ─▶ verify ─▶ swap
"""

import time
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import msgspec

from migrations.connection import open_reader
from migrations.runner import MigrationError
from ops.archive.replay import reach
from ops.backup.content import Content, read_content
from ops.backup.create import SCRATCH_PREFIX, Progress, create_backup, ignore_progress
from ops.backup.materialize import materialize
from ops.backup.metadata import Backup, BackupError, list_backups
from ops.backup.opening import plain_metadata
from ops.backup.places import Places
from ops.backup.swap import Intent, swap
from ops.backup.verify import verified
from ops.backup.way import Moment, Way, find_way
from ops.targets.sealing import Identities


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore does: `events_lost` are those of the present store that come after the moment."""

    backup: str
    segments: int
    """How many of the archive's are needed."""
    position: int
    timeline: int
    events_lost: int | None


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did: the store is as it was at `position`, and goes on in `timeline`."""

    position: int
    timeline: int
    backup: str
    segments: int
    safety_backup: str | None
    set_aside: str | None


def plan_restore(
    places: Places,
    moment: Moment,
    *,
    source: Places | None = None,
    identities: Identities = (),
    highest_timeline: int = 0,
) -> Plan:
    """What `restore` would do, with the backups that there are now.

    Raises:
        BackupError: there is no way to that moment.
        OSError: a bucket is away.
    """
    present = _present(places)
    way = find_way(source or places, moment, present, identities)
    return Plan(
        backup=way.begins_with,
        segments=len(way.stretches),
        position=way.position,
        timeline=1 + _highest_timeline(places, present, highest_timeline),
        events_lost=None if present is None else max(0, present.head.position - way.position),
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

    Raises:
        BackupError: there is no way to that moment, what there is, is not sound, or it is encrypted and there
            is no key for it.
        OSError, apsw.Error: the disk is full, a bucket is away.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    store = places.store
    present = _present(places)
    way = find_way(source or places, moment, present, identities)
    timeline = 1 + _highest_timeline(places, present, highest_timeline)
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_damaged |= present is None
    with ExitStack() as stack:
        begins_with: Backup | None = None
        if way.backup is not None:
            # Its checksum is computed while it is copied, before anything is changed.
            copy = verified(
                way.backup.place,
                whole=False,
                store_id=None if present is None else present.store_id,
                hashed=False,
                identities=identities,
                scratch=store.parent,
                progress=progress,
            )
            begins_with = stack.enter_context(copy)
        taken: Backup | None = None
        if not is_damaged and (safety or _begins_with_present(way)):
            folder = stack.enter_context(TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=store.parent))
            try:
                taken, plain = _safety_backup(places, Path(folder), version, now, progress)
            except (BackupError, apsw.Error):
                # Too damaged: it is set aside.
                if _begins_with_present(way):
                    raise
            else:
                begins_with = plain if _begins_with_present(way) else begins_with
        work = store.with_name(f"{store.name}.restoring")
        try:
            materialize(
                msgspec.structs.replace(way, backup=begins_with),
                work,
                timeline=timeline,
                now_ms=now,
                identities=identities,
                progress=progress,
            )
        except BaseException:
            for leftover in store.parent.glob(f"{work.name}*"):
                leftover.unlink()
            raise
    # Where no backup has it, nobody but its owner may delete it.
    set_aside = f"{store.name}.set-aside-{now}" if store.exists() and taken is None else None
    swap(store, Intent(work=work.name, set_aside=set_aside, position=way.position, timeline=timeline))
    return Restored(
        position=way.position,
        timeline=timeline,
        backup=str(taken.place) if taken is not None and _begins_with_present(way) else way.begins_with,
        segments=len(way.stretches),
        safety_backup=None if taken is None else str(taken.place),
        set_aside=None if set_aside is None else str(store.with_name(set_aside)),
    )


def find_restore(places: Places, moment: Moment, identities: Identities = ()) -> Way:
    """The way that `restore` would take.

    Raises:
        BackupError: there is none.
        OSError: a bucket is away.
    """
    return find_way(places, moment, _present(places), identities)


def _safety_backup(
    places: Places, scratch: Path, version: str, now_ms: int, progress: Progress
) -> tuple[Backup, Backup]:
    """A backup of the present store, and the same as a plain local file."""
    plain_copy = scratch / "present.db"
    taken = create_backup(
        places.store,
        places.backups,
        description="before a restore",
        version=version,
        now_ms=now_ms,
        sealing=places.sealing,
        plain_copy=plain_copy,
        progress=progress,
    )
    return taken, taken if taken.is_plain_here else Backup(plain_copy, plain_metadata(taken.metadata))


def _begins_with_present(way: Way) -> bool:
    return way.backup is None and not way.from_nothing


def _present(places: Places) -> Content | None:
    """What the present store has; `None` where there is none, or none that could be read."""
    if not places.store.exists():
        return None
    try:
        with closing(open_reader(places.store)) as connection:
            return read_content(connection)
    except (apsw.Error, MigrationError):
        return None


def _highest_timeline(places: Places, present: Content | None, elsewhere: int) -> int:
    store_id = None if present is None else present.store_id
    known = [one.metadata.timeline for one in list_backups(places.backups, store_id)]
    archived = reach(places.archive)
    known.append(0 if archived is None else archived[1][-1][0])
    return max([*known, elsewhere, 0 if present is None else present.timeline])
