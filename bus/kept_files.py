"""Files and folders that are there after a power cut as they were before it, for their owner alone."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Puts a file in its place that its owner alone can read; it is on disk when this returns.

    Raises:
        OSError: it cannot be written; what was there before is there.
    """
    # Written beside it and renamed: whole or not at all, and never readable by others, not even for a moment.
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give_to_owner(path.parent, descriptor)
        file.write(content)
        file.flush()
        # Else a power cut may leave an empty file under the name.
        os.fsync(descriptor)
    temporary.replace(path)
    # Else it may bring back the file from before: a token that was revoked, say.
    sync_folder(path.parent)


def write_new_private(path: Path, content: bytes) -> None:
    """Makes a file that its owner alone can read; it is on disk when this returns.

    Raises:
        FileExistsError: there is one; it may be the only copy of something else.
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder for its owner alone, and those on the way to it, where there are none; on disk then."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    give_to_owner(folder.parent, folder)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner(folder: Path, made: int | Path) -> None:
    """Has what root just made in a folder belong to the folder's owner: the service runs as that one."""
    if os.geteuid() == 0:
        owner = folder.stat()
        # Never what somebody put in the place of a path meanwhile.
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=isinstance(made, int))
