"""The files of the audit log: `audit-000001.jsonl` and so on, in order; lines are appended to the newest.

Files are opened without following links, and only if they are regular files.
"""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from bus.kept_files import give_to_owner, sync_folder
from ops.audit.entry import MAXIMUM_LINE_BYTES

FOLDER = "audit"
_LOCK = "lock"
_NAME = re.compile(r"audit-([0-9]{6})\.jsonl")
# How long to wait for the lock. A process holds it for one append only, unless it was stopped in between.
LOCKED_SECONDS = 5.0
_LOOK_SECONDS = 0.01
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AuditError(OSError):
    """The audit log cannot be written or read; the message says why."""


class AuditFile(msgspec.Struct, frozen=True):
    """A file of the log as it was found: its number, and its size then."""

    path: Path
    number: int
    size_bytes: int


def files_in(folder: Path) -> list[AuditFile]:
    """The files of a log, oldest first; an empty list if there is no log.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                if name is not None:
                    size_bytes = entry.stat(follow_symlinks=False).st_size
                    found.append(AuditFile(Path(entry.path), int(name[1]), size_bytes))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda one: one.number)


def path_of(folder: Path, number: int) -> Path:
    """The path of the file with a number."""
    return folder / f"audit-{number:06d}.jsonl"


def make_file(path: Path) -> None:
    """Makes a new, empty file of the log, which is on disk when this returns.

    Raises:
        OSError: the file cannot be made, or exists.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600))
    give_to_owner(path.parent, path)
    sync_folder(path.parent)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of a file of the log, for the length of the block.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, flags | _CAREFULLY, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of the log for the length of the block, so that no other process writes to it.

    Raises:
        OSError: there is no folder, or another process held the lock for too long.
    """
    path = folder / _LOCK
    is_new = not path.exists()
    with opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
        if is_new:
            give_to_owner(folder, path)
        deadline = time.monotonic() + LOCKED_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "another process holds its lock", str(path)) from None
                time.sleep(_LOOK_SECONDS)
        yield


def lines_of(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """The lines of a file up to a size, each with its newline, which the last line may lack.

    A line that is longer than `MAXIMUM_LINE_BYTES` comes in pieces.
    """
    left = size_bytes
    while left > 0 and (line := file.readline(min(left, MAXIMUM_LINE_BYTES))):
        left -= len(line)
        yield line
