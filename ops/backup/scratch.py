"""The temporary files of backups and drills, and how those of killed ones are removed."""

import shutil
import time
from pathlib import Path

from ops.backup.metadata import PREFIX

# Names of temporary folders begin with it: those of drills, and of copies that are looked at.
SCRATCH_PREFIX = ".drill-"
# For how long nothing was written to a file that counts as left behind.
LEFT_BEHIND_SECONDS = 3_600.0


def sweep(folder: Path) -> None:
    """Removes what killed backups and drills have left in a folder: whole copies, perhaps."""
    now = time.time()
    for leftover in (*folder.glob(f".{PREFIX}*"), *folder.glob(f"{SCRATCH_PREFIX}*")):
        newest = max((one.stat().st_mtime for one in (leftover, *leftover.rglob("*"))), default=now)
        # One that is still being made is written to all the time.
        if now - newest < LEFT_BEHIND_SECONDS:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
