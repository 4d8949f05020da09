"""A folder on a disk or in a bucket, and the functions for files in it that work for both.

A file is put in its place as a whole, and is on disk when that returns; no listing shows a part of it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bus.kept_files import make_folder, sync_folder
from ops.targets.bucket import BucketPath, read_all
from ops.targets.regular_files import CHUNK_BYTES, open_regular, open_to_write, read_regular

# The place of a file or a folder.
Place = Path | BucketPath

# Limit of the metadata of a backup, or of a segment, which have some kilobytes.
MAXIMUM_METADATA_BYTES = 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """A file that a listing found."""

    path: Place
    size: int
    tag: str
    """The same for as long as the file is; empty where that is not known."""

    @property
    def name(self) -> str:
        return self.path.name


class KeptFile(msgspec.Struct, frozen=True):
    """A file of the backups or of the archive."""

    place: Place

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def path(self) -> Path:
        """The path of a local file.

        Raises:
            ValueError: the file is in a bucket.
        """
        return local(self.place)


def address(place: Place) -> str:
    """The full address of a place: an absolute path, or `s3://…`."""
    return str(place.absolute()) if isinstance(place, Path) else str(place)


def local(place: Place) -> Path:
    """The path of a place on a local disk.

    Raises:
        ValueError: the place is in a bucket.
    """
    if not isinstance(place, Path):
        raise ValueError(f"{place} is no local file")  # noqa: TRY004 - not a mistake in the program
    return place


def staging_folder(folder: Place) -> Path:
    """A local folder for files on their way to or from a folder; the folder itself if it is local."""
    return folder if isinstance(folder, Path) else folder.bucket.staging


def list_files(folder: Place) -> list[Entry]:
    """The files directly in a folder, in no particular order; none if there is no folder.

    Raises:
        OSError: the folder cannot be read.
    """
    if isinstance(folder, BucketPath):
        return [Entry(path, size, tag) for path, size, tag in folder.files() if path.parent == folder]
    found = []
    try:
        with os.scandir(folder) as entries:
            for one in entries:
                try:
                    found.append(Entry(folder / one.name, one.stat().st_size, ""))
                except OSError as error:
                    # A file that is gone meanwhile, or a link that leads to itself, is skipped.
                    if error.errno not in (errno.ENOENT, errno.ELOOP):
                        raise
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found


def read_files(entries: list[Entry]) -> list[bytes | OSError]:
    """The contents of small files, each 1 MiB at most; for a file that could not be read, the error.

    Raises:
        BucketError: the bucket is away.
    """
    remote = [(one.path, one.tag) for one in entries if isinstance(one.path, BucketPath)]
    if remote:
        return read_all(remote, MAXIMUM_METADATA_BYTES)
    return [_read(one.path) for one in entries]


def size_of(path: Place) -> int:
    """The size of a file, in bytes."""
    return path.stat().st_size if isinstance(path, Path) else path.size()


def chunks_of(path: Place) -> Iterator[bytes]:
    """The content of a file, piece by piece."""
    if isinstance(path, BucketPath):
        yield from path.chunks(CHUNK_BYTES)
        return
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def read_whole(path: Place, most_bytes: int) -> bytes:
    """The content of a file of at most `most_bytes`.

    Raises:
        FileNotFoundError: the file is not there.
        OSError: the file is larger, is no regular file, or cannot be read.
    """
    return path.read_bytes(most_bytes) if isinstance(path, BucketPath) else read_regular(path, most_bytes)


def write_file(path: Place, content: bytes) -> None:
    """Puts a small file in its place, readable by its owner alone."""
    if isinstance(path, BucketPath):
        path.put(content)
        return
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = open_to_write(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def move_file(source: Path, path: Place, told: Callable[[int, int], None]) -> None:
    """Moves a finished local file to its place. `told` is called with the bytes sent so far, and all bytes.

    Raises:
        OSError: the file in the bucket has another size than was sent.
    """
    sync_file(source)
    size = source.stat().st_size
    if isinstance(path, Path):
        source.replace(path)
        sync_folder(path.parent)
        return
    told(0, size)
    path.put(source)
    if path.size() != size:
        raise OSError(f"{path} has {path.size()} bytes after {size} were sent")
    told(size, size)
    source.unlink()


def delete_file(path: Place) -> None:
    """Deletes a file, if it is there; the deletion is on disk when this returns."""
    path.unlink(missing_ok=True)
    if isinstance(path, Path):
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Returns when all that was written to a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _read(path: Place) -> bytes | OSError:
    try:
        return read_regular(local(path), MAXIMUM_METADATA_BYTES)
    except OSError as error:
        return error
