"""One look at a running service: `look_around`. It reads files and waits for disks, so a thread does it."""

import time

import msgspec

from ops.archive.archiver import ArchiveState
from ops.backup.schedule import BackupState
from ops.health.machine import Disk, Memory, disks_of, memory
from ops.health.store import StoreLook, StoreProbe
from ops.parts import Parts


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one look. `at` is by the monotonic clock, in seconds."""

    at: float
    store: StoreLook
    disks: list[Disk]
    memory: Memory
    backups: BackupState
    archive: ArchiveState


def look_around(parts: Parts, probe: StoreProbe) -> Look:
    """A look at the store, the disks and the memory; an error of a disk is the problem of the store."""
    store = probe.look()
    try:
        found = disks_of(parts.settings)
    except OSError as error:
        found = []
        store = msgspec.structs.replace(store, problem=store.problem or str(error))
    return Look(
        at=time.monotonic(),
        store=store,
        disks=found,
        memory=memory(),
        backups=parts.backups.state,
        archive=parts.archiver.state,
    )
