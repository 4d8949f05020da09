"""All checks, in order: `examine`."""

from collections.abc import Iterator

import apsw

from ops.doctor.audit import look_at_audit
from ops.doctor.backups import look_at_archive_end, look_at_backup, look_at_old_backups, look_at_reach
from ops.doctor.finding import DoctorFinding
from ops.doctor.machine import look_at_rights, look_at_room, look_at_syncs
from ops.doctor.schemas import look_at_schemas
from ops.doctor.store import look_at_integrity, look_at_reading, look_at_shape
from ops.progress import Progress
from ops.settings import Settings
from ops.store.troubles import hint_of, may_be_damage, message_of


def examine(settings: Settings, *, quick: bool, version: str, progress: Progress) -> Iterator[DoctorFinding]:
    """The findings about an existing store, one after the other; a service may be running.

    `quick` leaves out the checks that read the whole store: its integrity, and the backup.
    """
    store_bytes = settings.store_path.stat().st_size
    # Generators: each check starts when it is its turn.
    looks = {
        "rights": look_at_rights(settings),
        "room": look_at_room(settings, store_bytes),
        "disk_sync": look_at_syncs(settings),
        "migrations": look_at_shape(settings),
        "reading": look_at_reading(settings),
        "schemas": look_at_schemas(settings),
        "audit": look_at_audit(settings),
        "integrity": look_at_integrity(settings),
        "backup": look_at_backup(settings, version, progress),
        "old_backups": look_at_old_backups(settings),
        "archive_end": look_at_archive_end(settings),
        "reach": look_at_reach(settings),
    }
    for name, look in looks.items():
        if quick and name in ("integrity", "backup"):
            continue
        progress(name, 0, 1)
        try:
            yield from look
        except (apsw.Error, OSError, UnicodeDecodeError) as error:
            # A check that fails is a finding, too, and the other checks go on.
            yield DoctorFinding(
                check=name,
                level="wrong",
                message=f"it cannot be looked at: {message_of(error)}",
                # No hint to run this command, which checks the store itself.
                hint="see what the other findings say of it" if may_be_damage(error) else hint_of(error),
            )
