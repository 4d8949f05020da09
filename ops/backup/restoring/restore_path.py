"""The way to a moment: the backup to begin with, and the segments of the archive to go on with."""

from collections.abc import Collection, Iterable
from contextlib import closing, suppress
from typing import NamedTuple

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import UNREADABLE
from migrations.connection import open_reader
from migrations.sqlite_words import words_of
from ops.archive.replay import (
    Stretch,
    ends,
    late_answers,
    leading_on,
    position_at,
    reach,
    stretches_between,
)
from ops.archive.timelines import Timelines
from ops.backup.metadata import Backup, find_backup, list_backups, read_backup
from ops.backup.opening import opened
from ops.backup.restoring.present import Present
from ops.backup.sound import open_sealed
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import require_accepted
from ops.targets.target import address

PRESENT = "the present store"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The moment to restore.

    It is the state at a position or a time (milliseconds), the `latest` that backups and archive have, or a
    backup as it is: the named one, or the newest.
    """

    backup: str | None = None
    position: int | None = None
    time: int | None = None
    latest: bool = False


class RestorePath(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a position.

    The way begins with `backup`; if that is `None`, with the present store, or with an empty one if
    `from_nothing`.
    """

    position: int
    store_id: str
    timelines: Timelines
    backup: Backup | None
    stretches: list[Stretch]
    late_answers: list[Stretch] = []
    """Segments that may have more answers of the position, and of the backup's; a restore goes without, if it
    must."""
    from_nothing: bool = False
    ends: int = 0
    """To the latest: the last position that backups and archive have, perhaps behind a gap."""

    @property
    def begins_with(self) -> str:
        """The name of what the way begins with, for people."""
        if self.backup is not None:
            return str(self.backup.place)
        return "nothing" if self.from_nothing else PRESENT


class _Source(NamedTuple):
    """A source of events; `backup` is `None` for the present store and for the archive."""

    backup: Backup | None
    store_id: str
    timelines: Timelines
    position: int
    is_archive: bool = False

    def history(self, position: int) -> Timelines:
        """The timelines up to a position. Two sources with equal histories have the same events up to it."""
        return tuple(one for one in self.timelines if one[1] <= position)

    @property
    def begins_with(self) -> str:
        return PRESENT if self.backup is None else str(self.backup.place)

    @property
    def needs_key(self) -> bool:
        return self.backup is not None and bool(self.backup.metadata.recipients)

    @property
    def reaches(self) -> tuple[int, int]:
        # A store that was never served may have no timeline yet.
        return self.timelines[-1][0] if self.timelines else 0, self.position


def find_restore_path(
    places: Places,
    moment: Moment,
    present: Present | None,
    identities: Identities = (),
    *,
    without: Collection[str] = (),
) -> RestorePath:
    """The way to a moment. `identities` open encrypted files to look a time up in them.

    Without a backup's name, the history is that of the present store, or, if there is none, the newest one
    that backups and archive know. Sources that are known to be damaged are passed over, and so are those in
    `without`, named as in `begins_with`.

    Raises:
        BackupError: there is no way, or the time must be looked up in an encrypted file without a key.
        OSError: a bucket is away.
    """
    sources = list(_sources(places, moment, present, without))
    if not sources:
        is_empty = present is not None and present.head is not None and present.head.position == 0
        if present is None or is_empty or not moment.latest or places.signing.is_required:
            raise _nothing_in(places)
        # The log of the present store may be whole, whatever else of it is damaged. It is never signed.
        return _from_nothing(present)
    newest = max(sources, key=lambda one: one.reaches)
    if present is None and len({one.store_id for one in sources}) > 1:
        raise BackupError("foreign", f"{places.backups} has backups of several stores", "name one of them")
    # A folder may hold backups of several stores, and positions of one mean nothing in another.
    sources = [one for one in sources if one.store_id == newest.store_id]
    if moment.latest:
        if present is not None and _is_newer(present, newest, places):
            # Only archived segments of the store's own timelines may be used.
            return msgspec.structs.replace(_from_nothing(present), timelines=present.timelines)
        return _latest(newest, sources, places, present, without)
    position = _position(newest, sources, places, moment, identities)
    history = newest.history(position)
    same = [
        one
        for one in sources
        if not one.is_archive
        and one.history(min(position, one.position)) == newest.history(min(position, one.position))
    ]
    beyond = [one for one in same if one.position >= position]
    if beyond:
        # The shortest way is to cut off later events. Without a key, backups that need none come first.
        start = min(beyond, key=lambda one: (one.needs_key and not identities, one.position))
        stretches: list[Stretch] = []
    else:
        start = max(same, key=lambda one: one.position, default=_Source(None, newest.store_id, (), 0, True))
        stretches = stretches_between(places.archive, history, start.position, position)
    return RestorePath(
        position=position,
        store_id=newest.store_id,
        timelines=history,
        backup=start.backup,
        stretches=stretches,
        late_answers=_late_answers(start, newest, sources, places, position),
        from_nothing=start.is_archive,
    )


def _is_newer(present: Present, newest: _Source, places: Places) -> bool:
    """Whether the present store was restored after the newest backup and segment, and its own log is whole.

    The newest backups and segments then belong to the history that the restore gave up.
    """
    if present.timeline <= newest.reaches[0] or places.signing.is_required:
        return False
    with suppress(*UNREADABLE, chain.BrokenChainError), closing(open_reader(places.store)) as connection:
        return chain.verify_chain(connection) == present.head
    return False


def _from_nothing(present: Present) -> RestorePath:
    return RestorePath(
        position=0,
        store_id=present.store_id,
        # Only the first timeline: each later one begins with an event of the log.
        timelines=present.timelines[:1],
        backup=None,
        stretches=[],
        from_nothing=True,
    )


def _latest(
    newest: _Source,
    sources: list[_Source],
    places: Places,
    present: Present | None,
    without: Collection[str],
) -> RestorePath:
    """The way to the last position that backups and archive lead to without a gap."""
    same = [
        one
        for one in sources
        if not one.is_archive and one.history(one.position) == newest.history(one.position)
    ]
    start = max(same, key=lambda one: one.position, default=_Source(None, newest.store_id, (), 0, True))
    stretches = leading_on(places.archive, newest.timelines, start.position, without)
    position = max([start.position, *(min(one.segment.last, one.until) for one in stretches)])
    if position == 0 < newest.position and present is None:
        # Raises an error that says what is missing.
        stretches_between(places.archive, newest.history(newest.position), 0, newest.position)
    return RestorePath(
        position=position,
        store_id=newest.store_id,
        timelines=newest.history(position),
        backup=start.backup,
        stretches=stretches,
        late_answers=_late_answers(start, newest, sources, places, position),
        from_nothing=start.is_archive,
        ends=newest.position,
    )


def _late_answers(
    start: _Source, newest: _Source, sources: list[_Source], places: Places, position: int
) -> list[Stretch]:
    # Files that go on behind the position have all answers up to it, and so does the present store.
    if start.position > position or (start.backup is None and not start.is_archive):
        return []
    late: list[Stretch] = []
    # More answers may have been given at a backup's last position after the backup was made.
    for at in {start.position, position} - {0}:
        history = newest.history(at)
        if any(one.is_archive and one.history(at) == history for one in sources):
            late += late_answers(places.archive, history, at)
    return late


def _sources(
    places: Places, moment: Moment, present: Present | None, without: Collection[str]
) -> Iterable[_Source]:
    if moment.backup is not None:
        path = find_backup(places.backups, moment.backup)
        named = read_backup(path, places.signing)
        # Checked before any of its metadata is used.
        require_accepted(named.name, named.signature)
        yield _of(named)
        return
    found = [
        _of(one)
        for one in list_backups(places.backups, present.store_id if present else None, places.signing)
        if one.is_usable and str(one.place) not in without
    ]
    yield from found
    if moment == Moment():
        # No moment was named: the newest backup is restored as it is, without the archive.
        if not found:
            raise BackupError(
                "not_found", f"there is no backup in {places.backups}", "`hyperpage backup create` makes one"
            )
        return
    # `latest` means the latest of backups and archive: the present store is to be replaced.
    if present is not None and present.head is not None and not moment.latest and PRESENT not in without:
        yield _Source(None, present.store_id, present.timelines, present.head.position)
    try:
        archived = None
        if address(places.archive) not in without:
            archived = reach(places.archive, places.signing)
    except BackupError as error:
        # The archive is not needed if the present store is there, or a backup reaches as far.
        if moment.latest:
            error.backup = address(places.archive)
        is_there = present is not None and PRESENT not in without
        if moment.latest or not (is_there or any(one.reaches >= ends(places.archive) for one in found)):
            raise
        archived = None
    if archived is not None and (present is None or archived[0] == present.store_id):
        store_id, timelines, position = archived
        yield _Source(None, store_id, timelines, position, is_archive=True)
    elif not found and (present is None or PRESENT in without or places.signing.is_required):
        raise _nothing_in(places)


def _nothing_in(places: Places) -> BackupError:
    return BackupError(
        "not_found",
        f"there is no backup in {places.backups}, and no archive",
        "nothing was changed: name the places where there are some (HYPERPAGE_BACKUPS, HYPERPAGE_ARCHIVE)",
    )


def _of(backup: Backup) -> _Source:
    metadata = backup.metadata
    return _Source(backup, metadata.store_id, metadata.timelines, metadata.position)


def _position(
    newest: _Source, sources: list[_Source], places: Places, moment: Moment, identities: Identities
) -> int:
    if moment.time is not None:
        position = _position_at(newest, sources, places, moment.time, identities)
        if position == 0 and newest.position > 0:
            raise BackupError(
                "unreachable_moment", "there was nothing yet at that time", "choose a later one"
            )
        return position
    if moment.position is None:
        return newest.position
    if moment.position < 0:
        raise BackupError("unreachable_moment", f"there is no position {moment.position}; the first is 1")
    if moment.position > newest.position:
        raise BackupError(
            "unreachable_moment",
            f"the history ends at position {newest.position}, before {moment.position}",
            "name a backup (`hyperpage backup list`) to go back to a position of a history that was given up",
        )
    return moment.position


def _position_at(
    newest: _Source, sources: list[_Source], places: Places, time: int, identities: Identities
) -> int:
    """The last position recorded at or before a time, looked up in a file of that history or the archive."""
    files = [
        one
        for one in sources
        if not one.is_archive and one.history(one.position) == newest.history(one.position)
    ]
    file = max(files, key=lambda one: (one.position, one.backup is None), default=None)
    if file is not None and file.backup is not None:
        # A backup may have to be fetched and opened, so take the smallest one that goes on behind the time.
        later = [one for one in files if one.backup is not None and _ends_behind(one.backup, time)]
        file = min(later, key=lambda one: one.position, default=file)
    position = 0
    if file is not None:
        position = _position_in(file, places, time, identities)
        if position < file.position:
            return position
    if newest.is_archive and newest.position > position:
        return position_at(places.archive, newest.timelines, position, time, identities, places.signing)
    return position


def _ends_behind(backup: Backup, time: int) -> bool:
    return (backup.metadata.last_recorded_at or 0) > time


def _position_in(file: _Source, places: Places, time: int, identities: Identities) -> int:
    try:
        if file.backup is None:
            with closing(open_reader(places.store)) as connection:
                return chain.position_at(connection, time)
        if not _ends_behind(file.backup, time):
            return file.position
        with opened(file.backup, identities) as plain, closing(open_sealed(plain.path)) as connection:
            return chain.position_at(connection, time)
    except BackupError as error:
        error.backup = file.begins_with
        raise
    except apsw.Error as error:
        require_damage(error, file.begins_with)
        raise BackupError(
            "damaged", f"the time cannot be looked up: {words_of(error)}", backup=file.begins_with
        ) from error
