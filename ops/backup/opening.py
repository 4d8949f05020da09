"""A backup as a plain database in a local file, even if it is sealed or in a bucket: `opened`."""

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ops.backup.metadata import Backup, Metadata
from ops.backup.scratch import SCRATCH_PREFIX
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.regular_files import REFUSED, require_regular
from ops.targets.sealing import Identities, SealedError, UnsoundError, as_reader, open_file
from ops.targets.signing import require_accepted
from ops.targets.target import Place, chunks_of, size_of, staging_folder


@contextmanager
def opened(
    backup: Backup,
    identities: Identities = (),
    *,
    scratch: Path | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Backup]:
    """The backup in a plain local file, for the length of the block; its metadata describes that file.

    A plain local backup is returned as it is; the caller compares its checksum. Any other backup is fetched
    and opened into a temporary folder in `scratch` (by default, beside the backups, or where those of a
    bucket are staged), and its checksums are compared on the way. Where backups are encrypted, name a folder
    on another disk: other users may be able to read the disk of the backups.

    Raises:
        BackupError: it is encrypted and there is no key for it, it is not the file that was made, or its
            signature is refused.
        OSError: the bucket is away, the disk is full.
    """
    require_accepted(backup.name, backup.signature)
    if backup.is_plain_here:
        require_size(backup)
        yield backup
        return
    require_key(backup, identities)
    parent = staging_folder(backup.place.parent) if scratch is None else scratch
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=parent) as folder:
        yield bring(backup, Path(folder), identities, progress=progress)


def bring(
    backup: Backup, folder: Path, identities: Identities, *, progress: Progress = ignore_progress
) -> Backup:
    """The backup as a plain file in a local folder; see `opened`."""
    require_accepted(backup.name, backup.signature)
    metadata = plain_metadata(backup.metadata)
    path = folder / backup.name.removesuffix(backup.metadata.sealing.suffix)
    require_size(backup)
    # The metadata is not proven yet: a forged file could fill the disk.
    require_room(folder, metadata.size)
    stored = hashlib.sha256()

    def read() -> Iterator[bytes]:
        for chunk in chunks_of(backup.place):
            stored.update(chunk)
            yield chunk

    problem: Exception | None = None
    checksum = ""
    with path.open("xb") as target:
        path.chmod(0o600)
        source = as_reader(read())
        try:
            checksum = open_file(
                source,
                target,
                sealing=backup.metadata.sealing,
                identities=identities,
                size=metadata.size,
                told=lambda done, total: progress("open", done, total),
            )
        except (SealedError, UnsoundError) as error:
            problem = error
        # Read to the end: a wrong checksum of the whole file is reported before other errors.
        while source.read(1024 * 1024):
            pass
    if stored.hexdigest() != backup.metadata.checksum:
        raise checksum_differs(backup.place)
    if isinstance(problem, SealedError):
        raise BackupError(
            "encrypted",
            f"{backup.name} is encrypted to other keys",
            "name the file of one that it is encrypted to",
        )
    if problem is not None:
        raise BackupError("damaged", f"{backup.name}: {problem}") from problem
    if (checksum, path.stat().st_size) != (metadata.checksum, metadata.size):
        raise BackupError("content_differs", f"{backup.name}: what is in it is not what its metadata says")
    return Backup(path, metadata, backup.signature)


def plain_metadata(metadata: Metadata) -> Metadata:
    """The metadata of the plain database inside a backup.

    Raises:
        BackupError: the metadata of a sealed backup lacks the size or checksum of the plain database.
    """
    if metadata.compression is None and not metadata.recipients:
        return metadata
    if metadata.plain_size is None or metadata.plain_checksum is None:
        raise BackupError("metadata_damaged", "the metadata does not say what is in the sealed file")
    return msgspec.structs.replace(
        metadata,
        size=metadata.plain_size,
        checksum=metadata.plain_checksum,
        compression=None,
        recipients=(),
        plain_size=None,
        plain_checksum=None,
    )


def require_key(backup: Backup, identities: Identities) -> None:
    """Returns if the backup is plain, or there is a key to try.

    Raises:
        BackupError: it is encrypted, and there is no key at all.
    """
    if backup.metadata.recipients and not identities:
        raise BackupError(
            "encrypted",
            f"{backup.name} is encrypted, and can be read with a key alone",
            "on the command line, name the file of the secret key with --identity FILE",
        )


def require_size(backup: Backup) -> None:
    """Returns if the file has the size that it was made with.

    Raises:
        BackupError: it has another size, is missing, or is no regular file.
    """
    try:
        if isinstance(backup.place, Path):
            require_regular(backup.place)
        size = size_of(backup.place)
    except FileNotFoundError as error:
        raise BackupError("not_found", f"there is no backup {backup.place}") from error
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise BackupError("damaged", f"{backup.name} cannot be read: {error.strerror}") from error
    if size != backup.metadata.size:
        raise BackupError(
            "size_differs", f"{backup.name} has {size} bytes, and had {backup.metadata.size} when it was made"
        )


def require_checksum(backup: Backup, progress: Progress) -> None:
    """Returns if the file is the one that was made, byte for byte.

    Raises:
        BackupError: it is not.
    """
    digest = hashlib.sha256()
    done = 0
    for chunk in chunks_of(backup.place):
        digest.update(chunk)
        done += len(chunk)
        progress("checksum", done, backup.metadata.size)
    if digest.hexdigest() != backup.metadata.checksum:
        raise checksum_differs(backup.place)


def require_room(folder: Path, size_bytes: int) -> None:
    """Returns if a copy of this size fits on the disk of a folder, so that copying does not fill it.

    Raises:
        OSError: it does not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise OSError(
            errno.ENOSPC, f"{size_bytes} bytes are needed there for a copy, and {free} are free", str(folder)
        )


def checksum_differs(path: Place) -> BackupError:
    return BackupError("checksum_differs", f"{path.name} was changed: its SHA-256 is another one")
