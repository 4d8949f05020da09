"""The plan of a restore: `plan_restore`; and the checks that both a plan and a restore begin with."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from bus.log import chain
from ops.archive.end import ArchiveEnd
from ops.archive.merge import last_hash
from ops.archive.reading import read_segment, read_signature
from ops.archive.replay import leading_on
from ops.archive.segment import list_segments
from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.going_on import reach_of_present
from ops.backup.restoring.materialize import without_segment
from ops.backup.restoring.present import Present, read_present
from ops.backup.restoring.restore_path import Moment, RestorePath
from ops.backup.restoring.search import Search
from ops.backup.verify import verified
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import Signing, require_accepted


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of a restore. `events_lost` counts the present store's events after the moment."""

    backup: str
    segments: int
    """How many of the archive's are needed."""
    position: int
    timeline: int
    events_lost: int | None
    passed_over: dict[str, str]
    """The files that would have been nearer to the moment, each with the reason why it cannot be used."""
    signatures: dict[str, int] = {}
    """The number of files by signature, as far as they were looked at: `signed by ed25519:…`, `unsigned`."""


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
    """The plan of what `restore` would do now; `check` also verifies the backup and the needed segments.

    Raises:
        BackupError: there is no way to that moment, or the files on it are not sound.
        OSError: a bucket is away.
    """
    search = Search(source_of(places, source), moment, identities)
    present = search.present
    signatures: Counter[str] = Counter()
    position = 0
    while True:
        restore_path = search.next_path()
        try:
            signatures = _look_at(restore_path, places, present, identities, progress, check=check)
            position = _reach(restore_path, places, identities) if moment.latest else restore_path.position
            break
        except BackupError as error:
            search.pass_over(error.backup or restore_path.begins_with, error)
    return Plan(
        backup=restore_path.begins_with,
        segments=len(restore_path.stretches),
        position=position,
        timeline=1 + highest_timeline_of(places, present, restore_path, highest_timeline),
        events_lost=None if present is None else present.lost_behind(position),
        passed_over=search.passed_over | gap_before(places, restore_path, position),
        signatures=dict(signatures),
    )


def lost_end(places: Places) -> str | None:
    """A text on what is missing at the end of a store's log; `None` if nothing is known to be missing.

    SQLite drops the events of a damaged WAL without any error: only backups and archive know of them.
    """
    present = read_present(places.store)
    if present is None or present.head is None:
        return None
    if present.is_empty:
        return emptied(places)
    ends = known_end(places, present)
    backups = list_backups(places.backups, present.store_id, places.signing)
    kept = [one.metadata for one in backups if one.is_usable]
    ends = max([ends, *(one.position for one in kept if one.timeline == present.timeline)])
    with suppress(OSError):
        following = leading_on(places.archive, present.timelines, present.head.position)
        ends = max([ends, *(min(one.segment.last, one.until) for one in following)])
    # Read again: a running service has appended events meanwhile, and archived them.
    present = read_present(places.store)
    if present is None or present.head is None or ends <= present.head.position:
        return None
    return f"the log of {places.store.name} ends at {present.head.position}, and had gone on to {ends}"


def emptied(places: Places) -> str | None:
    """The problem of a store that is empty although there is a backup or archive with events of one.

    All that it had was in a WAL that is damaged. `None` if there is no such backup or archive.
    """
    kept = kept_of(places, with_events=True)
    return None if kept is None else f"{places.store.name} has nothing, but there is {kept}"


def kept_of(places: Places, *, with_events: bool = False) -> str | None:
    """The backup or archive that a store can be brought back from, in words; `None` if there is none.

    Raises:
        OSError: a folder cannot be read, or a bucket is away. The caller should wait, not begin a new store.
    """
    if any(one.metadata.position or not with_events for one in list_backups(places.backups)):
        return f"a backup of one in {places.backups}"
    if list_segments(places.archive):
        return f"an archive of one in {places.archive}"
    return None


def known_end(places: Places, present: Present | None) -> int:
    """The last position that a store or its record of the archive knows; 0 if neither knows one."""
    if present is None:
        # The service itself wrote the record, so it counts although the store's id cannot be compared.
        return ArchiveEnd(places.store, places.archive, "").said_anyhow
    written = ArchiveEnd(places.store, places.archive, present.store_id).written_up_to(present.timeline)
    return max(written, 0 if present.head is None else present.head.position)


def _look_at(
    restore_path: RestorePath,
    places: Places,
    present: Present | None,
    identities: Identities,
    progress: Progress,
    *,
    check: bool,
) -> Counter[str]:
    """The number of files on a way by signature; with `check`, each file is verified."""
    signatures: Counter[str] = Counter()
    if restore_path.backup is not None:
        signatures[str(restore_path.backup.signature)] += 1
    if not check:
        return signatures
    with checked(restore_path, places, present, identities, progress, inside=True):
        pass
    for number, stretch in enumerate(restore_path.stretches):
        progress("archive", number, len(restore_path.stretches))
        try:
            found = read_segment(stretch.segment, identities, places.signing).signature
        except BackupError as error:
            raise without_segment(error, stretch.segment, stretch.segment.first - 1) from error
        signatures[str(found)] += 1
    return signatures


def _reach(restore_path: RestorePath, places: Places, identities: Identities) -> int:
    """The last position of the latest: what is left of the present store may lead on behind the archive."""
    head = chain.Head(restore_path.position)
    if restore_path.stretches:
        stretch = restore_path.stretches[-1]
        if (stretch.segment.is_encrypted and not identities) or stretch.until < stretch.segment.last:
            return head.position
        try:
            known = last_hash(stretch.segment, places.signing)
        except BackupError as error:
            raise without_segment(error, stretch.segment, stretch.segment.first - 1) from error
        head = chain.Head(head.position, bytes.fromhex(known))
    elif restore_path.backup is not None:
        head = chain.Head(head.position, bytes.fromhex(restore_path.backup.metadata.head_hash))
    return reach_of_present(places.store, restore_path.store_id, head).position


def gap_before(places: Places, restore_path: RestorePath, position: int) -> dict[str, str]:
    """The missing event that keeps a restore from the last known position, by the archive's place."""
    if position >= restore_path.ends:
        return {}
    missing = f"event {position + 1} is nowhere to be had, and those up to {restore_path.ends} follow from it"
    return {str(places.archive): missing}


def source_of(places: Places, source: Places | None) -> Places:
    """The places of backups and archive, from `source` if given; the present store is the one of `places`."""
    return places if source is None else msgspec.structs.replace(source, store=places.store)


def next_signed(search: Search, signing: Signing) -> RestorePath:
    """The next way to try; every file on it is signed as required.

    Raises:
        BackupError: there is no way, or a damaged or unsigned file on it cannot be passed over.
        OSError: a bucket is away.
    """
    while True:
        restore_path = search.next_path()
        try:
            require_signed(restore_path, signing)
        except BackupError as error:
            search.pass_over(error.backup or restore_path.begins_with, error)
        else:
            return restore_path


def require_signed(restore_path: RestorePath, signing: Signing) -> None:
    """Returns if every file on a way is signed as required; checked before anything is changed.

    Raises:
        BackupError: a file is not signed as required, or is damaged.
        OSError: a bucket is away.
    """
    if restore_path.backup is not None:
        require_accepted(restore_path.backup.name, restore_path.backup.signature)
    # Where signatures are not required, a forged segment is found when it is read.
    for stretch in restore_path.stretches if signing.is_required else ():
        try:
            read_signature(stretch.segment, signing)
        except BackupError as error:
            raise without_segment(error, stretch.segment, stretch.segment.first - 1) from error


@contextmanager
def checked(
    restore_path: RestorePath,
    places: Places,
    present: Present | None,
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
        # Check all of it: the metadata about earlier checks may be forged.
        whole=True,
        store_id=None if present is None else present.store_id,
        inside=inside,
        identities=identities,
        signing=places.signing,
        scratch=places.store.parent if places.store.parent.is_dir() else None,
        progress=progress,
    ) as plain:
        yield plain


def highest_timeline_of(
    places: Places, present: Present | None, restore_path: RestorePath, elsewhere: int
) -> int:
    store_id = None if present is None else present.store_id
    known = [one.metadata.timeline for one in list_backups(places.backups, store_id)]
    known += [one.timeline for one in list_segments(places.archive)]
    # A backup that is named by its path may lie in neither of these places.
    known += [timeline for timeline, _ in restore_path.timelines]
    if restore_path.backup is not None:
        known.append(restore_path.backup.metadata.timeline)
    return max([*known, elsewhere, 0 if present is None else present.timeline])
