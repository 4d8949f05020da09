"""Has a file that SQLite has open read from its disk again: `forget`."""

import os
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def forget(path: Path, offset: int = 0, size_bytes: int = 0) -> None:
    """Has the system forget what it keeps in memory of a file, or of a part of it: reading it asks the disk.

    What is not on disk yet stays. Where the system has no such thing, or nobody in this process has the file
    open, nothing is done.
    """
    with suppress(OSError, AttributeError):
        about = path.stat()
        for entry in _DESCRIPTORS.iterdir():
            descriptor = int(entry.name)
            # SQLite's own: to open the file and close it again would end all locks of this process on it.
            # https://www.sqlite.org/howtocorrupt.html, section 2.2
            with suppress(OSError):
                found = os.fstat(descriptor)
                if (found.st_dev, found.st_ino) == (about.st_dev, about.st_ino):
                    os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)
                    return
