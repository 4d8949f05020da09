"""A store as it was, in the place of the present one: `restore`.

validate ─▶ safety backup ─▶ make the file beside the store ─▶ verify ─▶ swap
"""

import time
from contextlib import closing

import apsw
import msgspec

from migrations.connection import open_reader
from migrations.runner import MigrationError
from ops.archive.replay import reach
from ops.backup.content import Content, read_content
from ops.backup.create import Progress, create_backup, ignore_progress
from ops.backup.materialize import materialize
from ops.backup.metadata import Backup, BackupError, list_backups
from ops.backup.places import Places
from ops.backup.swap import Intent, swap
from ops.backup.verify import verify_backup
from ops.backup.way import Moment, Way, find_way


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


def plan_restore(places: Places, moment: Moment, *, highest_timeline: int = 0) -> Plan:
    """What `restore` would do, with the backups that there are now.

    Raises:
        BackupError: there is no way to that moment.
    """
    present = _present(places)
    way = find_way(places, moment, present)
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
    progress: Progress = ignore_progress,
) -> Restored:
    """Replaces a store that nobody uses by what it was. Whatever goes wrong, it stays as it is.

    `safety` takes a backup of the present store first; without it, or where the store is too damaged for it
    (as the caller found it to be, perhaps), the store is set aside.
    `highest_timeline` is the highest number that is known elsewhere: to the stream, say.

    Raises:
        BackupError: there is no way to that moment, or what there is, is not sound.
        OSError, apsw.Error: the disk is full, say.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    store = places.store
    present = _present(places)
    way = find_way(places, moment, present)
    timeline = 1 + _highest_timeline(places, present, highest_timeline)
    if way.backup is not None:
        owner = None if present is None else present.store_id
        # Its checksum is computed while it is copied, before anything is changed.
        verify_backup(way.backup.path, whole=False, store_id=owner, hashed=False, progress=progress)
    taken: Backup | None = None
    is_damaged |= present is None
    if not is_damaged and (safety or _begins_with_present(way)):
        try:
            taken = create_backup(
                store,
                places.backups,
                description="before a restore",
                version=version,
                now_ms=now,
                progress=progress,
            )
        except (BackupError, apsw.Error):
            # Too damaged: it is set aside.
            if _begins_with_present(way):
                raise
    if _begins_with_present(way):
        way = msgspec.structs.replace(way, backup=taken)
    work = store.with_name(f"{store.name}.restoring")
    try:
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        materialize(way, work, timeline=timeline, now_ms=now, progress=progress)
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
        backup=way.begins_with,
        segments=len(way.stretches),
        safety_backup=None if taken is None else str(taken.path),
        set_aside=None if set_aside is None else str(store.with_name(set_aside)),
    )


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
