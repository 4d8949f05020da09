"""A consistent copy of a store in use: `create_backup`.

copy into a ─▶ check ─▶ prove ─▶ seal ─▶ fsync, rename ─▶ metadata
temporary file      (if asked) (if set)  or upload      (from here on, a backup)
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from bus.kept_files import make_folder
from domain.credentials.scanning import Finding, kind_of_text, rejected
from ops.backup.audit_heads import head_beside
from ops.backup.content import StoreContent
from ops.backup.copying import copy_store
from ops.backup.metadata import (
    DRILL_CHECKS,
    WHOLE_CHECKS,
    Backup,
    Metadata,
    backup_path,
    write_metadata,
)
from ops.backup.scratch import sweep
from ops.backup.sound import check_copy, file_checksum
from ops.progress import Progress, ignore_progress
from ops.targets.regular_files import open_to_write
from ops.targets.sealing import Sealing, seal_file
from ops.targets.signing import ANYBODYS, Signature, Signing, SigningKey
from ops.targets.target import Place, delete_file, move_file, staging_folder


def create_backup(
    store: Path,
    folder: Place,
    *,
    description: str = "",
    version: str,
    now_ms: int | None = None,
    sealing: Sealing = Sealing(),  # noqa: B008 - nothing changes it
    signing: Signing = ANYBODYS,
    prove: Callable[[Backup, Progress], None] | None = None,
    plain_copy: Path | None = None,
    progress: Progress = ignore_progress,
) -> Backup:
    """A new backup of a store, in its place and checked when this returns. A service may write meanwhile.

    `folder` is made where it is missing. Everything that was committed before the call is in the backup.
    `prove` is called with the checked copy before it is sealed, while it can be read. That copy is left at
    `plain_copy`, if the backup is not a plain file itself.

    Raises:
        SecretRejected: the description looks like a credential; it would be kept with every copy.
        BackupError: the copy differs from the store; the store is damaged; `prove` failed.
        OSError, apsw.Error: the disk is full, the store cannot be read, the bucket is away. No backup is left
            behind.
    """
    if (kind := kind_of_text(description)) is not None:
        raise rejected(Finding("$.description", kind))
    began = time.monotonic()
    signer = signing.signer()
    outgoing = staging_folder(folder)
    # The plain copy of an encrypted backup is never on the disk of the backups, not even for a moment.
    staging = store.parent if sealing.recipients else outgoing
    for each in (staging, outgoing):
        sweep(each)
    timestamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    make_folder(outgoing)
    path = backup_path(folder, timestamp, sealing.suffix)
    with _temporary(staging / path.name.removesuffix(sealing.suffix)) as temporary:
        source = copy_store(store, temporary, progress)
        checksum, content = check_copy(temporary, source, progress)
        metadata = _metadata_of(
            content,
            timestamp=timestamp,
            description=description,
            version=version,
            size=temporary.stat().st_size,
            checksum=checksum,
            audit_head=head_beside(store),
        )
        if prove is not None:
            prove(Backup(temporary, metadata), progress)
            metadata = _drilled(metadata, timestamp)
        metadata = _put(temporary, path, metadata, sealing, plain_copy, progress)
    duration_ms = round((time.monotonic() - began) * 1000)
    return _describe(path, msgspec.structs.replace(metadata, duration_ms=duration_ms), signer)


def _describe(path: Place, metadata: Metadata, signer: SigningKey | None) -> Backup:
    """The backup, once its metadata is written. If that fails, the file is deleted."""
    try:
        metadata = write_metadata(path, metadata, signer)
    except BaseException:
        delete_file(path)
        raise
    return Backup(path, metadata, Signature() if signer is None else signer.trusted)


def _drilled(metadata: Metadata, timestamp: int) -> Metadata:
    checks = {**metadata.checks, **dict.fromkeys(DRILL_CHECKS, timestamp)}
    return msgspec.structs.replace(metadata, last_drilled=timestamp, checks=checks)


def _metadata_of(
    content: StoreContent,
    *,
    timestamp: int,
    description: str,
    version: str,
    size: int,
    checksum: str,
    audit_head: str,
) -> Metadata:
    """The metadata of a copy that was just checked, as a restore checks it."""
    return Metadata(
        timestamp=timestamp,
        description=description,
        version=version,
        size=size,
        checksum=checksum,
        store_id=content.store_id,
        timeline=content.timeline,
        timelines=content.timelines,
        position=content.head.position,
        head_hash=content.head.hash.hex(),
        first_recorded_at=content.first_recorded_at,
        last_recorded_at=content.head.recorded_at if content.head.position else None,
        rows=content.rows,
        migrations=content.migrations,
        sqlite_version=apsw.sqlite_lib_version(),
        duration_ms=0,
        chain_verified_from=0,
        last_verified=timestamp,
        checks=dict.fromkeys(WHOLE_CHECKS, timestamp),
        audit_head=audit_head,
    )


def _put(
    copy: Path, path: Place, metadata: Metadata, sealing: Sealing, plain_copy: Path | None, progress: Progress
) -> Metadata:
    """Seals a checked copy and puts it in its place; returns the metadata of the file that is there now."""
    finished = copy
    try:
        if sealing != Sealing():
            progress("seal", 0, 1)
            finished = staging_folder(path.parent) / f".{path.name}.tmp"
            os.close(open_to_write(finished))
            seal_file(copy, finished, sealing)
            metadata = msgspec.structs.replace(
                metadata,
                size=finished.stat().st_size,
                checksum=file_checksum(finished, progress),
                compression=None if sealing.compression == "none" else sealing.compression,
                recipients=sealing.recipients,
                plain_size=metadata.size,
                plain_checksum=metadata.checksum,
            )
        if plain_copy is not None and finished is copy and not isinstance(path, Path):
            shutil.copyfile(copy, plain_copy)
        move_file(finished, path, lambda done, total: progress("upload", done, total))
        if plain_copy is not None and finished is not copy:
            shutil.move(copy, plain_copy)
    finally:
        if finished is not copy:
            finished.unlink(missing_ok=True)
    return metadata


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    # Never readable by other users, not even for a moment.
    os.close(open_to_write(temporary))
    try:
        yield temporary
    finally:
        for leftover in (temporary, temporary.with_name(temporary.name + "-journal")):
            leftover.unlink(missing_ok=True)
