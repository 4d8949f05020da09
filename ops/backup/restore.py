"""A store as it was, in the place of the present one: `restore`.

validate ─▶ safety backup ─▶ make the file beside the store ─▶ verify ─▶ swap
"""

import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from bus import log
from migrations.connection import open_reader
from migrations.runner import MigrationError
from ops.backup.content import Content, read_content
from ops.backup.create import Progress, create_backup, ignore_progress, open_sealed
from ops.backup.materialize import materialize
from ops.backup.metadata import Backup, BackupError, find_backup, list_backups, read_metadata
from ops.backup.swap import Intent, swap
from ops.backup.verify import verify_backup


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What to restore: a backup as it is, the state at a position or a time (milliseconds), or the newest."""

    backup: str | None = None
    position: int | None = None
    time: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore does: `events_lost` are those of the present store that come after the moment."""

    backup: str
    position: int
    timeline: int
    events_lost: int | None


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did: the store is as it was at `position`, and goes on in `timeline`."""

    position: int
    timeline: int
    backup: str
    safety_backup: str | None
    set_aside: str | None


class _Source(NamedTuple):
    """What a store can be made from: a backup, or (without one) the present store."""

    backup: Backup | None
    timelines: tuple[tuple[int, int], ...]
    position: int

    @property
    def timeline(self) -> int:
        return self.timelines[-1][0]

    def history(self, position: int) -> tuple[tuple[int, int], ...]:
        """The timelines up to a position: two sources with the same have the same events up to there."""
        return tuple(one for one in self.timelines if one[1] <= position)


def plan_restore(store: Path, folder: Path, moment: Moment, *, highest_timeline: int = 0) -> Plan:
    """What `restore` would do, with the backups that there are now.

    Raises:
        BackupError: there is no way to that moment.
    """
    present = _present(store)
    source, position = _choose(store, folder, moment, present)
    return Plan(
        backup="the present store" if source.backup is None else str(source.backup.path),
        position=position,
        timeline=1 + _highest_timeline(folder, present, highest_timeline),
        events_lost=None if present is None else max(0, present.head.position - position),
    )


def restore(
    store: Path,
    folder: Path,
    moment: Moment,
    *,
    version: str,
    safety: bool = True,
    highest_timeline: int = 0,
    now_ms: int | None = None,
    progress: Progress = ignore_progress,
) -> Restored:
    """Replaces a store that nobody uses by what it was. Whatever goes wrong, it stays as it is.

    `safety` takes a backup of the present store first; a store that is too damaged for that is set aside.
    `highest_timeline` is the highest number that is known elsewhere: to the stream, say.

    Raises:
        BackupError: there is no way to that moment, or what there is, is not sound.
        OSError, apsw.Error: the disk is full, say.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    present = _present(store)
    source, position = _choose(store, folder, moment, present)
    timeline = 1 + _highest_timeline(folder, present, highest_timeline)
    if source.backup is not None:
        owner = None if present is None else present.store_id
        verify_backup(source.backup.path, whole=False, store_id=owner, progress=progress)
    taken: Backup | None = None
    if present is not None and (safety or source.backup is None):
        taken = create_backup(
            store, folder, description="before a restore", version=version, now_ms=now, progress=progress
        )
    backup = source.backup or taken
    assert backup is not None, "the present store was backed up"
    work = store.with_name(f"{store.name}.restoring")
    try:
        materialize(backup, work, position=position, timeline=timeline, now_ms=now, progress=progress)
    except BaseException:
        for leftover in store.parent.glob(f"{work.name}*"):
            leftover.unlink()
        raise
    set_aside = f"{store.name}.set-aside-{now}" if store.exists() and present is None else None
    swap(store, Intent(work=work.name, set_aside=set_aside, position=position, timeline=timeline))
    return Restored(
        position=position,
        timeline=timeline,
        backup=str(backup.path),
        safety_backup=None if taken is None else str(taken.path),
        set_aside=None if set_aside is None else str(store.with_name(set_aside)),
    )


def _present(store: Path) -> Content | None:
    """What the present store has; `None` where there is none, or none that could be read."""
    if not store.exists():
        return None
    try:
        with closing(open_reader(store)) as connection:
            return read_content(connection)
    except (apsw.Error, MigrationError):
        return None


def _choose(store: Path, folder: Path, moment: Moment, present: Content | None) -> tuple[_Source, int]:
    """What to begin with, and the position to go back to.

    Without a name, the history is that of the present store, or of the newest backup where there is none.
    """
    if moment.backup is not None:
        path = find_backup(folder, moment.backup)
        sources = [_source(Backup(path, read_metadata(path)))]
    else:
        sources = [_source(one) for one in list_backups(folder)]
        if not sources:
            raise BackupError(
                "not_found", f"there is no backup in {folder}", "`hyperpage backup create` makes one"
            )
        if present is not None and moment != Moment():
            sources.append(_Source(None, present.timelines, present.head.position))
    newest = max(sources, key=lambda one: (one.timeline, one.position))
    position = _position(newest, store, moment)
    return _nearest(sources, newest.history(position), position), position


def _source(backup: Backup) -> _Source:
    return _Source(backup, backup.metadata.timelines, backup.metadata.position)


def _position(newest: _Source, store: Path, moment: Moment) -> int:
    if moment.time is not None:
        try:
            with closing(
                open_reader(store) if newest.backup is None else open_sealed(newest.backup.path)
            ) as connection:
                return log.position_at(connection, moment.time)
        except apsw.Error as error:
            raise BackupError("damaged", f"the time cannot be looked up: {error}") from error
    if moment.position is None:
        return newest.position
    if moment.position > newest.position:
        raise BackupError(
            "unreachable_moment",
            f"the history ends at position {newest.position}, before {moment.position}",
            "name a backup (`hyperpage backup list`) to go back to a position of a history that was given up",
        )
    return moment.position


def _nearest(sources: Iterable[_Source], history: tuple[tuple[int, int], ...], position: int) -> _Source:
    """The one with the same history up to the position that has the least behind it."""
    same = [one for one in sources if one.position >= position and one.history(position) == history]
    return min(same, key=lambda one: one.position)


def _highest_timeline(folder: Path, present: Content | None, elsewhere: int) -> int:
    known = [one.metadata.timeline for one in list_backups(folder)]
    return max([*known, elsewhere, 0 if present is None else present.timeline])
