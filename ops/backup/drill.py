"""Whether a store can be had from a backup: it is made in a scratch folder, folded and compared. `drill`."""

import tempfile
import time
from pathlib import Path

from ops.backup.create import SCRATCH_PREFIX, Progress, ignore_progress
from ops.backup.materialize import materialize
from ops.backup.metadata import Backup, BackupError, update_metadata
from ops.backup.verify import verify_backup
from ops.backup.way import Way
from ops.projections_check import verify


def drill(path: Path, *, now_ms: int | None = None, progress: Progress = ignore_progress) -> Backup:
    """The backup, proven: its whole log was folded, and its tables are what came out. Its metadata says so.

    Raises:
        BackupError: it is not sound, or its tables are not what its log says.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    backup = verify_backup(path, whole=True, progress=progress)
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=path.parent) as scratch:
        # As a restore to its own moment, in which nothing is rebuilt.
        made = materialize(
            Way(
                position=backup.metadata.position,
                store_id=backup.metadata.store_id,
                timelines=backup.metadata.timelines,
                backup=backup,
                stretches=[],
            ),
            Path(scratch) / "hyperpage.db",
            timeline=backup.metadata.timeline + 1,
            now_ms=now,
            progress=progress,
        )
        progress("tables", 0, 1)
        report = verify(made.path)
    if not report["equal"]:
        wrong = [
            name
            for name, table in report["tables"].items()
            if table["missing"] or table["unexpected"] or table["different"]
        ]
        raise BackupError(
            "tables_differ",
            f"{path.name}: its tables are not what its log says: {', '.join(wrong)}",
            "restored, they would be put right by `hyperpage projections rebuild`",
        )
    return Backup(path, update_metadata(path, last_verified=now, last_drilled=now))
