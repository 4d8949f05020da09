"""Opens files that other users have named or made: only regular files, and only up to an expected size.

Opening a FIFO could wait for ever, a device may never end, and a folder cannot be read.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


# The bytes of a file that are read at once.
CHUNK_BYTES = 1024 * 1024
# The numbers of the errors with which these functions refuse a file.
REFUSED = (errno.EINVAL, errno.EISDIR, errno.EFBIG)


def open_regular(path: Path, *, follow: bool = True) -> FileIO:
    """A regular file, opened for reading, without a buffer. Without `follow`, it must not be a symbolic link.

    Raises:
        OSError: it is no regular file, is not there, or cannot be read.
    """
    # With these flags, opening a FIFO does not wait, nor does opening a device.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    require_regular(path, follow=follow)
    descriptor = os.open(path, flags)
    try:
        # Checked again on the open file: another file may have taken its place meanwhile.
        _require_regular(path, os.fstat(descriptor))
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most_bytes: int, *, follow: bool = True) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as `open_regular`; or it has more than `most_bytes`.
    """
    with open_regular(path, follow=follow) as file:
        content = bytearray()
        # In pieces: a read reserves memory for all bytes that it asks for, and most files are much smaller.
        while chunk := file.read(min(CHUNK_BYTES, most_bytes + 1 - len(content))):
            content += chunk
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", str(path))
        return bytes(content)


def open_to_write(path: Path) -> int:
    """The descriptor of an empty file for its owner alone, new or emptied; a link is never followed.

    Raises:
        OSError: the file cannot be made.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # This program makes no such thing here, so it is removed: another user may have put it in the way.
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def require_regular(path: Path, *, follow: bool = True) -> None:
    """Returns if there is a regular file.

    Raises:
        OSError: there is something else, or nothing.
    """
    # With `stat`, without opening it: opening a device or a tape can have effects.
    _require_regular(path, path.stat(follow_symlinks=follow))


def _require_regular(path: Path, found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        found_kind = _KINDS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is no regular file, but {found_kind}", str(path))
