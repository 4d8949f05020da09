"""Whether a backup is what it was: `verify_backup`. Each way of not being so has a message of its own."""

import time
from pathlib import Path

import apsw

from bus import log
from migrations.runner import MigrationError
from ops.backup.content import Content, read_content
from ops.backup.create import (
    Progress,
    file_checksum,
    ignore_progress,
    open_sealed,
    require_chain,
    require_sound,
)
from ops.backup.metadata import Backup, BackupError, Metadata, read_metadata, update_metadata


def verify_backup(
    path: Path,
    *,
    whole: bool = True,
    store_id: str | None = None,
    hashed: bool = True,
    progress: Progress = ignore_progress,
) -> Backup:
    """The backup, which is sound; its metadata as it is on disk.

    `whole` recomputes the hash chain from the first event on, and compares the indexes with their tables;
    otherwise, the chain from where the check at its creation began. `store_id` is whose it must be. Without
    `hashed`, the checksum of the file is left to the caller, who reads it as a whole anyway.

    Raises:
        BackupError: it is not sound; `reason` says how.
    """
    if not path.exists():
        raise BackupError("not_found", f"there is no backup {path}", "`hyperpage backup list` lists them")
    metadata = read_metadata(path)
    if store_id is not None and metadata.store_id != store_id:
        raise BackupError(
            "foreign",
            f"{path.name} is of store {metadata.store_id}, not of {store_id}",
            "choose one of its own",
        )
    _require_size(path, metadata)
    if hashed and file_checksum(path, progress) != metadata.checksum:
        raise BackupError("checksum_differs", f"{path.name} was changed: its SHA-256 is another one")
    try:
        _require_content(path, metadata, whole, progress)
    except (apsw.Error, UnicodeDecodeError) as error:
        raise BackupError("damaged", f"{path.name} cannot be read: {error}") from error
    except MigrationError as error:
        raise BackupError("unknown_format", f"{path.name}: {error.message}", error.hint) from error
    return Backup(path, metadata)


def mark_verified(backup: Backup) -> Backup:
    """Notes in a backup's metadata that all of it was found to be sound just now."""
    return Backup(backup.path, update_metadata(backup.path, last_verified=time.time_ns() // 1_000_000))


def _require_size(path: Path, metadata: Metadata) -> None:
    size = path.stat().st_size
    if size != metadata.size:
        raise BackupError(
            "size_differs", f"{path.name} has {size} bytes, and had {metadata.size} when it was made"
        )


def _require_content(path: Path, metadata: Metadata, whole: bool, progress: Progress) -> None:
    connection = open_sealed(path)
    try:
        require_sound(connection, path.name, thorough=whole)
        content = read_content(connection)
        _require_same(path, metadata, content)
        start = log.Head() if whole else _head_at(connection, metadata.chain_verified_from)
        progress("hash chain", start.position, content.head.position)
        require_chain(connection, path.name, content.head, start)
    finally:
        connection.close()


def _require_same(path: Path, metadata: Metadata, content: Content) -> None:
    expected = {
        "store": (metadata.store_id, content.store_id),
        "timelines": (metadata.timelines, content.timelines),
        "position": (metadata.position, content.head.position),
        "head hash": (metadata.head_hash, content.head.hash.hex()),
        "rows": (metadata.rows, content.rows),
        "migrations": (metadata.migrations, content.migrations),
    }
    for what, (said, found) in expected.items():
        if said != found:
            raise BackupError(
                "content_differs", f"{path.name}: its metadata says {what} {said}, and it has {found}"
            )


def _head_at(connection: apsw.Connection, position: int) -> log.Head:
    row = log.read_at(connection, position) if position else None
    return log.Head() if row is None else log.Head(row.position, row.hash, row.recorded_at)
