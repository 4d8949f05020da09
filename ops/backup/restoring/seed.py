"""The file of a member, made of a backup and the archive of the same store: `make_seed`.

This is no restore: the file goes on with the log as it is, so no timeline begins.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bus.log import chain
from ops.backup.restoring.materialize import materialize
from ops.backup.restoring.plan import checked, next_signed
from ops.backup.restoring.present import Present
from ops.backup.restoring.restore_path import Moment, RestorePath
from ops.backup.restoring.search import Search
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.target import address

_FIRST_TIMELINE = ((1, 1),)


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """The sources that a file was made of, and the position at which its log ends."""

    position: int
    begins_with: str
    segments: int
    passed_over: dict[str, str]


def make_seed(
    places: Places,
    work: Path,
    store_id: str,
    *,
    timeline: int,
    newest: int,
    begins: int,
    now_ms: int,
    progress: Progress = ignore_progress,
) -> Seed:
    """Makes a file of that store on that timeline, or on a later one up to `newest`.

    It is made of the newest backup, and the archive as far as it leads on.

    The archive is left out if the backup reaches the position `begins`: the events and leases behind it come
    from elsewhere, and the backup's leases are kept then. If there is no source, the file is that of a store
    without events. Unusable files are passed over. The file is closed and on disk when this returns.

    Raises:
        BackupError: the sources lead to an earlier position, or may not be used, for example because they are
            not signed.
        OSError, apsw.Error: the disk is full, a bucket is away.
    """
    whose = Present(store_id, _FIRST_TIMELINE, None)
    search = Search(places, Moment(latest=True), repair=True, present=whose)
    while True:
        way = _shortest(_next_way(search, places, store_id, newest), begins)
        if (way.timelines[-1][0], way.position) < (timeline, begins):
            raise _too_short(way, search.passed_over)
        try:
            with checked(way, places, whose, (), progress, inside=False) as sound:
                made = materialize(
                    msgspec.structs.replace(way, backup=sound),
                    work,
                    timeline=way.timelines[-1][0],
                    now_ms=now_ms,
                    signing=places.signing,
                    same_as=chain.Head(),
                    keeps_leases=not way.stretches,
                    progress=progress,
                )
        except BackupError as error:
            search.pass_over(error.backup or way.begins_with, error)
            continue
        return Seed(
            position=made.position,
            begins_with=way.begins_with,
            segments=len(way.stretches),
            passed_over=search.passed_over,
        )


def _next_way(search: Search, places: Places, store_id: str, timeline: int) -> RestorePath:
    try:
        while (found := (way := next_signed(search, places.signing)).timelines[-1][0]) > timeline:
            backup = way.backup
            is_of_backup = backup is not None and backup.metadata.timeline > timeline
            which = str(backup.place) if backup is not None and is_of_backup else address(places.archive)
            search.passed_over[which] = f"{which} is of timeline {found}, and the log of {timeline}"
        return way
    except BackupError as error:
        if error.reason != "not_found":
            raise
    return RestorePath(
        position=0,
        store_id=store_id,
        timelines=_FIRST_TIMELINE,
        backup=None,
        stretches=[],
        from_nothing=True,
    )


def _shortest(way: RestorePath, begins: int) -> RestorePath:
    """The way without the archive, if the archive is not needed."""
    if way.backup is not None and way.backup.metadata.position >= begins:
        metadata = way.backup.metadata
        return msgspec.structs.replace(
            way, position=metadata.position, timelines=metadata.timelines, stretches=[], late_answers=[]
        )
    if begins == 0:
        return msgspec.structs.replace(
            way, position=0, timelines=_FIRST_TIMELINE, stretches=[], late_answers=[]
        )
    return way


def _too_short(way: RestorePath, passed_over: Mapping[str, str]) -> BackupError:
    reached = f"{way.begins_with} and the archive" if way.position else "backups and archive"
    damaged = "".join(f"; {one}" for one in passed_over.values())
    return BackupError(
        "unreachable_moment",
        f"{reached} lead to position {way.position} of timeline {way.timelines[-1][0]}{damaged}",
    )
