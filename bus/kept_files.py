"""Files and folders that survive a power cut, and that their owner alone can read."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Writes or replaces a file that its owner alone can read; it is on disk when this returns.

    Raises:
        OSError: it cannot be written; the file that was there before is unchanged.
    """
    # Written under another name and renamed: so it is whole or unchanged, and other users can never read it.
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give_to_owner(path.parent, descriptor)
        file.write(content)
        file.flush()
        # Otherwise a power cut may leave an empty file under the name.
        os.fsync(descriptor)
    temporary.replace(path)
    # Otherwise a power cut may bring back the old file: a token that was revoked, for instance.
    sync_folder(path.parent)


def write_new_private(path: Path, content: bytes) -> None:
    """Makes a file that its owner alone can read; it is on disk when this returns.

    Raises:
        FileExistsError: the file exists; it may be the only copy of something else.
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder for its owner alone, and its missing parents; they are on disk when this returns."""
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
    """Gives what root just made in a folder to the folder's owner, the user that the service runs as."""
    if os.geteuid() == 0:
        owner = folder.stat()
        # Does not follow a link that another user may have put in the place of a path meanwhile.
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=isinstance(made, int))
