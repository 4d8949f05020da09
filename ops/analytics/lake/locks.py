"""Locks between the exports and the readers of a lake: `locked`, `held`, `unread`.

.lock       held by the one export that is under way
.readers    held by all readers together, or exclusively by an export that removes files
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ops.analytics.lake.errors import AnalyticsError
from ops.targets.regular_files import open_regular, require_regular

LOCK = ".lock"
READERS = ".readers"


@contextmanager
def locked(lake: Path) -> Iterator[None]:
    """Locks a lake for one export at a time.

    Raises:
        AnalyticsError: another export is under way.
    """
    lake.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_own(lake / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnalyticsError(
                "in_use", f"another export into {lake} is under way", "wait for it to end"
            ) from None
        yield


def held(lake: Path) -> BinaryIO | None:
    """Keeps an export from removing files of a lake until the returned file is closed.

    Call it before the manifest is read; it waits while an export removes files. `None` if `.readers` cannot
    be opened: there is no lake, or it was copied without that file and no export has made it since.
    """
    try:
        readers = open_regular(lake / READERS, follow=False)
    except OSError:
        return None
    # A disk without locks can be read all the same: exports refuse to write to it.
    with suppress(OSError):
        fcntl.flock(readers, fcntl.LOCK_SH)
    return readers


@contextmanager
def unread(lake: Path) -> Iterator[bool]:
    """Whether no session reads a lake. If so, new readers wait until the block ends."""
    with open_own(lake / READERS) as readers:
        try:
            fcntl.flock(readers, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_unread = True
        except BlockingIOError:
            is_unread = False
        yield is_unread


def open_own(path: Path) -> BinaryIO:
    """Opens an empty file of the lake, and makes it if there is none; a link is not followed.

    Raises:
        OSError: something else is in its place, or it cannot be made.
    """
    if os.path.lexists(path):
        require_regular(path, follow=False)
    # Opened for writing, which an exclusive lock needs on a disk in a network.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
