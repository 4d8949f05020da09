"""Checks that a lost store could be restored: a backup is made, restored into scratch, compared, verified."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from bus.log import chain
from bus.log.cloud_events import read_origin
from domain.counting import counted
from migrations.connection import open_reader
from migrations.runner import MigrationError
from ops.archive.end import ArchiveEnd
from ops.backup.content import store_id_of
from ops.backup.create import create_backup
from ops.backup.drill import prove
from ops.backup.metadata import damaged_backups
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.search import Search
from ops.backup.verdict import judge
from ops.backup.verify import verify_by_routine, verify_whole
from ops.doctor.finding import DoctorFinding
from ops.health.machine import MIB, disks, disks_of
from ops.progress import Progress
from ops.settings import Settings
from ops.store.troubles import message_of
from ops.targets.errors import BackupError

# How many events the archive may be behind: as many as a busy service writes in a second.
ARCHIVE_LAG_EVENTS = 20_000


def look_at_backup(settings: Settings, version: str, progress: Progress) -> Iterator[DoctorFinding]:
    """Makes a backup, and from it a store in a scratch folder, of which each row is compared with the log.

    Then the backup is verified where it is kept. It stays for as long as the settings say, like any other.
    """
    missing = _missing_room(settings)
    if missing is not None:
        yield missing
        return
    began = time.monotonic()
    try:
        made = create_backup(
            settings.store_path,
            settings.backup_folder,
            description="by hyperpage doctor",
            version=version,
            sealing=settings.sealing,
            signing=settings.signing,
            prove=prove,
            progress=progress,
        )
        made_seconds = time.monotonic() - began
        store_id = store_id_of(settings.store_path)
        if made.metadata.recipients:
            # Without a key to decrypt it, it is compared byte for byte with the backup that was proven.
            verify_by_routine(made.place, store_id, progress, settings.signing)
        else:
            verify_whole(made.place, store_id, (), None, progress, settings.signing)
    except (BackupError, MigrationError) as error:
        # The error does not say which copy is wrong: a backup of a damaged store is damaged, too.
        verdict = judge(settings.places)
        said = verdict.message if verdict.wrong else error.message
        yield DoctorFinding(
            check="backup",
            level="wrong",
            message=f"no backup that could be restored: {said}",
            hint=verdict.hint or error.hint,
        )
    except (OSError, apsw.Error, UnicodeDecodeError) as error:
        yield DoctorFinding(
            check="backup",
            level="wrong",
            message=f"no backup could be made: {message_of(error)}",
            hint="what the setting `backups` names must be there, with room",
        )
    else:
        seconds = time.monotonic() - began
        yield DoctorFinding(
            check="backup",
            message=f"a backup was made, restored into scratch, compared row by row and verified: {made.name}"
            f" (position {made.metadata.position}, {seconds:.1f} s)",
            figures={
                "name": made.name,
                "position": made.metadata.position,
                "size_bytes": made.metadata.size,
                "made_and_proven_ms": round(made_seconds * 1_000),
                "took_ms": round(seconds * 1_000),
            },
        )


def _missing_room(settings: Settings) -> DoctorFinding | None:
    folder = settings.data if not isinstance(settings.backup_folder, Path) else settings.backup_folder
    (disk,) = disks({"backups": folder})
    # Room for the backup, and for the store that is restored from it.
    needed_mib = 2 * settings.store_path.stat().st_size // MIB + settings.disk_free_unhealthy_mib
    if disk.free_bytes // MIB >= needed_mib:
        return None
    return DoctorFinding(
        check="backup",
        level="wrong",
        message=f"no backup was made: {disk.free_bytes // MIB} MiB are free on the disk of {disk.folder}, and"
        f" {needed_mib} are needed to prove one",
        hint="make room, or keep backups elsewhere (the setting `backups`)",
    )


def look_at_old_backups(settings: Settings) -> Iterator[DoctorFinding]:
    """Lists the files among the backups that cannot be restored."""
    try:
        found = [f"{path.name} ({error.message})" for path, error in damaged_backups(settings.backup_folder)]
    except OSError:
        # The check that makes a backup reports such an error.
        return
    if found:
        yield DoctorFinding(
            check="old_backups",
            level="attention",
            message=f"among the backups, but none: {'; '.join(found)}",
            hint="as they are, they cannot be restored; before you delete them, look for their metadata"
            " in copies of the folder",
        )


def look_at_archive_end(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks that the archive has all that the service has noted as written; no finding if it does."""
    with closing(open_reader(settings.store_path)) as connection:
        origin = read_origin(connection)
    timeline = origin.timelines[-1][0] if origin.timelines else 0
    cut = ArchiveEnd(settings.store_path, settings.archive_folder, origin.store_id).cut(timeline)
    if cut is None:
        return
    yield DoctorFinding(
        check="reach",
        level="wrong",
        message=f"the end of the archive was cut off: {cut}",
        hint="see who can delete there; a service that is started writes it again from its log",
        figures={"ends": cut.ends, "ended": cut.ended},
    )


def look_at_reach(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks how much of the log a restore would bring back if this disk were lost now."""
    with closing(open_reader(settings.store_path)) as connection:
        head = chain.read_head(connection).position
    if head == 0:
        yield DoctorFinding(check="reach", message="there is nothing yet that could be lost")
        return
    try:
        restore_path = Search(settings.places, Moment(latest=True)).next_path()
    except (BackupError, OSError) as error:
        message = error.message if isinstance(error, BackupError) else str(error)
        yield DoctorFinding(
            check="reach",
            level="wrong",
            message=f"nothing could be restored: {message}",
            hint="see the other findings",
        )
        return
    position = restore_path.position
    lost = max(0, head - position)
    figures = {"position": position, "head": head, "segments": len(restore_path.stretches)}
    if lost > ARCHIVE_LAG_EVENTS:
        yield DoctorFinding(
            check="reach",
            level="attention",
            message=f"a restore reaches position {position};"
            f" {counted(lost, 'event')} behind it would be lost",
            hint="`hyperpage status` says why the archive is not written",
            figures=figures,
        )
    else:
        yield DoctorFinding(
            check="reach",
            message=f"a restore reaches position {position} of {head}, from"
            f" {Path(restore_path.begins_with).name} and"
            f" {counted(figures['segments'], 'segment')} of the archive",
            hint=_same_disk(settings),
            figures=figures,
        )


def _same_disk(settings: Settings) -> str:
    if [disk.used_for for disk in disks_of(settings)] == [["store", "backups", "archive"]]:
        return (
            "backups and archive are on the store's own disk: on another one, or in a bucket, they outlive it"
        )
    return ""
