"""The temporary files of backups and drills, and the removal of those that killed processes left behind."""

import shutil
import time
from pathlib import Path

from ops.backup.metadata import PREFIX

# The beginning of the names of temporary folders: those of drills, and of copies that are read.
SCRATCH_PREFIX = ".drill-"
# A file counts as left behind if nothing was written to it for this long.
LEFT_BEHIND_SECONDS = 3_600.0


def sweep(folder: Path) -> None:
    """Removes temporary files of killed backups and drills from a folder; they may be whole copies."""
    now = time.time()
    for leftover in (*folder.glob(f".{PREFIX}*"), *folder.glob(f"{SCRATCH_PREFIX}*")):
        newest = max((one.stat().st_mtime for one in (leftover, *leftover.rglob("*"))), default=now)
        # A copy that is still being made is written to all the time.
        if now - newest < LEFT_BEHIND_SECONDS:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
