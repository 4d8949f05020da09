"""Proves that a store can be made from a backup: one is made in a scratch folder and compared. `drill`."""

import tempfile
import time
from pathlib import Path

from ops.backup.metadata import DRILL_CHECKS, Backup, note, read_metadata
from ops.backup.restoring.materialize import materialize
from ops.backup.restoring.restore_path import RestorePath
from ops.backup.scratch import SCRATCH_PREFIX
from ops.backup.verify import noting_damage, require_content, verified
from ops.progress import Progress, ignore_progress
from ops.store.projections_check import verify
from ops.targets.errors import TABLES_DIFFER, BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place


def drill(
    path: Place,
    *,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
    scratch: Path | None = None,
    now_ms: int | None = None,
    progress: Progress = ignore_progress,
) -> Backup:
    """The backup, proven: its tables are what its whole log folds to. Its metadata notes that.

    Raises:
        BackupError: the backup is not sound, its tables are not what its log says, or it is encrypted and
            cannot be read.
        OSError: the bucket is away, the disk is full.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    with (
        noting_damage(path, signing),
        verified(path, identities=identities, signing=signing, scratch=scratch, progress=progress) as plain,
    ):
        _require_provable(plain, now, progress)
    checks = read_metadata(path).checks | dict.fromkeys(("checksum", "content", *DRILL_CHECKS), now)
    return note(path, signing, last_verified=now, last_drilled=now, checks=checks, unsound="")


def prove(plain: Backup, progress: Progress = ignore_progress) -> None:
    """Returns if a plain local backup passes a drill; its checksum is not compared.

    Raises:
        BackupError: it fails.
    """
    require_content(plain, whole=True, progress=progress)
    _require_provable(plain, plain.metadata.timestamp, progress)


def _require_provable(plain: Backup, now_ms: int, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=plain.path.parent) as scratch:
        made = Path(scratch) / "hyperpage.db"
        materialize(
            RestorePath(
                position=plain.metadata.position,
                store_id=plain.metadata.store_id,
                timelines=plain.metadata.timelines,
                backup=plain,
                stretches=[],
            ),
            made,
            timeline=plain.metadata.timeline + 1,
            now_ms=now_ms,
            as_it_is=True,
            progress=progress,
        )
        progress("tables", 0, 1)
        report = verify(made)
    if not report["equal"]:
        wrong = [
            name
            for name, table in report["tables"].items()
            if table["missing"] or table["unexpected"] or table["different"]
        ]
        raise BackupError(
            TABLES_DIFFER,
            f"{plain.name}: its tables are not what its log says: {', '.join(wrong)}",
            "restored, they would be put right by `hyperpage projections rebuild`",
        )
