"""Checks of the machine: the rights of the service's files, the room on disks, and how fast these are."""

import os
import shlex
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ops.doctor.finding import DoctorFinding
from ops.health.machine import MIB, disks_of
from ops.settings import Settings
from ops.store.private_files import SHOWN, in_short, open_to_others

# A commit waits for one sync. A solid-state disk takes from some tenths of a millisecond to a few
# milliseconds, a spinning one around ten. A slower disk is in a network, or busy with something else.
SLOW_SYNC_MS = 20.0
# The most files that a finding about rights has in its figures.
MAXIMUM_NAMED = 100
# How long syncs are tried at most: on a slow disk, fewer of them tell as much.
_SYNC_SECONDS = 3.0
# Room for a restore: the new file, the safety backup's copy, and the drill's.
COPIES_OF_THE_STORE = 3


def look_at_rights(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks whether other users of this machine can read the stored files."""
    places = (settings.data, settings.backup_folder, settings.archive_folder)
    # The rights of a bucket cannot be seen from here.
    folders = sorted({place.absolute() for place in places if isinstance(place, Path) and place.is_dir()})
    open_ones = [one for one in folders if _is_open_to_others(one, settings.data)]
    # Files inside a private directory are to be private, too: it may be opened, or copied, one day.
    open_ones += open_to_others(settings.data, places)
    if open_ones:
        yield DoctorFinding(
            check="rights",
            level="attention",
            message=f"others on this machine may read {in_short(open_ones)}",
            hint=f"chmod go-rwx {' '.join(map(shlex.quote, map(str, open_ones[:SHOWN])))}"
            + (
                ", and so on; a start of the service does it for what is in its directory"
                if len(open_ones) > SHOWN
                else ""
            ),
            figures={"open": [str(one) for one in open_ones[:MAXIMUM_NAMED]], "count": len(open_ones)},
        )
    else:
        yield DoctorFinding(check="rights", message="only the service's own user can read its files")


def _is_open_to_others(folder: Path, data: Path) -> bool:
    # A user that cannot read the data directory cannot reach a folder inside.
    is_inside = folder != data.absolute() and data.absolute() in folder.parents
    return not is_inside and bool(stat.S_IMODE(folder.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))


def look_at_room(settings: Settings, store_bytes: int) -> Iterator[DoctorFinding]:
    """Checks whether the disks have room for more, and for a restore."""
    for disk in disks_of(settings):
        free_mib, needed_mib = disk.free_bytes // MIB, COPIES_OF_THE_STORE * store_bytes // MIB
        finding = DoctorFinding(
            check="room",
            message=f"{free_mib} MiB are free on the disk of {disk.folder} ({', '.join(disk.used_for)})",
            figures={"folder": disk.folder, "free_bytes": disk.free_bytes, "total_bytes": disk.total_bytes},
        )
        if free_mib < settings.disk_free_degraded_mib:
            yield _worse(
                finding,
                "make room, move backups and archive (`backups`, `archive`), or keep fewer"
                " (`backup_retention_days`)",
            )
        elif free_mib < needed_mib and set(disk.used_for) & {"store", "backups"}:
            yield _worse(
                finding,
                f"a restore needs about {needed_mib} MiB there for a while: make room before you need one",
            )
        else:
            yield finding


def _worse(finding: DoctorFinding, hint: str) -> DoctorFinding:
    return msgspec.structs.replace(finding, level="attention", message=f"only {finding.message}", hint=hint)


def look_at_syncs(settings: Settings) -> Iterator[DoctorFinding]:
    """Measures how long the disk of the store takes for a sync; each commit waits for one."""
    took: list[float] = []
    with tempfile.NamedTemporaryFile(dir=settings.data, prefix=".doctor-") as file:
        deadline = time.monotonic() + _SYNC_SECONDS
        while len(took) < 50 and time.monotonic() < deadline:
            os.write(file.fileno(), bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1_000)
    median, worst = statistics.median(took), max(took)
    is_slow = median > SLOW_SYNC_MS
    yield DoctorFinding(
        check="disk_sync",
        level="attention" if is_slow else "well",
        message=f"the disk of the store takes {median:.2f} ms until it has something, {worst:.2f} ms at most",
        hint="put the data directory on a local, faster disk: every commit waits for it" if is_slow else "",
        figures={"median_ms": round(median, 3), "worst_ms": round(worst, 3), "tries": len(took)},
    )
