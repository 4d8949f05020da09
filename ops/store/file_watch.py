"""Notices that the store's file, or one beside it, is no longer the one that is open: `watch`.

The service writes to the open file, wherever it was moved; if it was deleted, all that is written is lost.
"""

import asyncio
from pathlib import Path

# The pause between two checks. A command that is answered meanwhile is in the open file alone.
LOOK_SECONDS = 2.0
# The WAL has the newest commits. If the shared memory is replaced, later connections use another one.
_SUFFIXES = ("", "-wal", "-shm")

_Identity = tuple[int, int]
_GONE: _Identity = (0, 0)


class MovedError(RuntimeError):
    """A file of the store was moved, deleted or replaced while it was open."""

    hint = (
        "the service has ended, so that nothing more is stored where nobody looks for it: put the file back,"
        " with those beside it (-wal, -shm) if there are any; or: `hyperpage backup restore --latest`"
    )


async def watch(store: Path) -> None:
    """Checks again and again, as long as all files are in their place.

    Raises:
        MovedError: a file was moved, deleted or replaced.
    """
    files = [store.with_name(store.name + suffix) for suffix in _SUFFIXES]
    opened = await asyncio.to_thread(_identities, files)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await asyncio.to_thread(_identities, files)
        for path, before in opened.items():
            now = found.get(path, _GONE)
            if now != before and now is not None and before is not None:
                what = "moved or deleted" if now == _GONE else "replaced"
                raise MovedError(f"{path} was {what} while the service used it")


def _identities(files: list[Path]) -> dict[Path, _Identity | None]:
    """The device and inode of each file that is there; None where the disk does not say."""
    found: dict[Path, _Identity | None] = {}
    for path in files:
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            # The disk does not answer; the health's looks at the store report that.
            found[path] = None
            continue
        found[path] = (status.st_dev, status.st_ino)
    return found
