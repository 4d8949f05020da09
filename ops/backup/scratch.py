"""What backups and drills put on a disk for a while, and what is left of it when they are killed."""

import shutil
import time
from pathlib import Path

from ops.backup.metadata import PREFIX

# What begins so, in the folder of the backups, is a drill's, or a copy that is looked at.
SCRATCH_PREFIX = ".drill-"
LEFT_BEHIND_SECONDS = 3_600.0


def sweep(folder: Path) -> None:
    """Removes what backups and drills that were killed have left behind: whole copies, perhaps."""
    now = time.time()
    for leftover in (*folder.glob(f".{PREFIX}*"), *folder.glob(f"{SCRATCH_PREFIX}*")):
        newest = max((one.stat().st_mtime for one in (leftover, *leftover.rglob("*"))), default=now)
        # One that is under way writes all the time.
        if now - newest < LEFT_BEHIND_SECONDS:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
