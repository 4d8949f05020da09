"""`forget`: makes the next read of a file that SQLite has open come from the disk."""

import os
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def forget(path: Path, offset: int = 0, size_bytes: int = 0) -> None:
    """Drops a file, or a part of it, from the system's page cache, so that it is read from the disk again.

    Pages that are not on disk yet stay. If the system cannot do this, or this process does not have the file
    open, nothing is done.
    """
    with suppress(OSError, AttributeError):
        about = path.stat()
        for entry in _DESCRIPTORS.iterdir():
            descriptor = int(entry.name)
            # Uses SQLite's own descriptor: opening and closing the file would drop all locks of this process.
            # https://www.sqlite.org/howtocorrupt.html, section 2.2
            with suppress(OSError):
                found = os.fstat(descriptor)
                if (found.st_dev, found.st_ino) == (about.st_dev, about.st_ino):
                    os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)
                    return
