"""The verifications that are noted in a backup's metadata: the whole one, and the cheap one by the clock."""

from pathlib import Path

from ops.backup.metadata import Backup, read_metadata
from ops.backup.verify import mark_verified, noting_damage, verify_backup, verify_outside
from ops.progress import Progress
from ops.targets.sealing import Identities
from ops.targets.target import Place


def verify_whole(
    place: Place, store_id: str | None, identities: Identities, scratch: Path | None, progress: Progress
) -> Backup:
    """The backup, all of which was found to be sound.

    Raises:
        BackupError: it is not, or cannot be read without a key.
        OSError: the bucket is away, the disk is full.
    """
    with noting_damage(place):
        found = verify_backup(
            place, store_id=store_id, identities=identities, scratch=scratch, progress=progress
        )
    return mark_verified(found, "checksum", "quick_check", "integrity_check", "content", "chain_end", "chain")


def verify_by_routine(place: Place, store_id: str | None, progress: Progress) -> Backup:
    """The backup, found to be sound as far as that is cheap: its chain from where an older backup ends.

    What is encrypted was checked as a whole before it was; here, that it is still the same, byte for byte.

    Raises:
        BackupError: it is not.
        OSError: the bucket is away, the disk is full.
    """
    with noting_damage(place):
        if place.exists() and read_metadata(place).recipients:
            return mark_verified(verify_outside(place, store_id=store_id, progress=progress), "checksum")
        found = verify_backup(place, whole=False, store_id=store_id, progress=progress)
    return mark_verified(found, "checksum", "quick_check", "content", "chain_end")
