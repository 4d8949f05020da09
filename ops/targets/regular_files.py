"""Opens what others have named or put there: regular files alone, and no more of them than was expected.

A FIFO would be waited for without an end, a device may never end, and a folder cannot be read.
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


# How much of a file is read at once.
CHUNK_BYTES = 1024 * 1024
# The numbers of the errors by which these functions refuse what they found.
REFUSED = (errno.EINVAL, errno.EISDIR, errno.EFBIG)


def open_regular(path: Path, *, follow: bool = True) -> FileIO:
    """A regular file, opened to be read, without a buffer. Without `follow`, it may be no symbolic link.

    Raises:
        OSError: it is something else, is not there, or cannot be read.
    """
    # Opening a FIFO does not wait then, nor does a device that reacts to being opened.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    require_regular(path, follow=follow)
    descriptor = os.open(path, flags)
    try:
        # Once more, of what is open: another one may have come in its place.
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
        # A read makes room for all that it asks for, and most files have much less than they may have.
        while chunk := file.read(min(CHUNK_BYTES, most_bytes + 1 - len(content))):
            content += chunk
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", str(path))
        return bytes(content)


def open_to_write(path: Path) -> int:
    """The descriptor of an empty file for its owner alone, new or emptied; never what a link leads to.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # Nothing of ours: whoever may write here has put it in the way.
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def require_regular(path: Path, *, follow: bool = True) -> None:
    """Returns if there is a regular file.

    Raises:
        OSError: there is something else, or nothing.
    """
    # `stat` alone: already the opening of a device or a tape can have an effect.
    _require_regular(path, path.stat(follow_symlinks=follow))


def _require_regular(path: Path, found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        found_kind = _KINDS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is no regular file, but {found_kind}", str(path))
