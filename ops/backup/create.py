"""A consistent copy of a store in use: `create_backup`.

copy into a ─▶ check ─▶ prove ─▶ seal ─▶ fsync, rename ─▶ metadata
temporary file      (if asked) (if set)  or upload      (from here on, a backup)
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw
import msgspec

from bus.log import chain
from ops.backup.content import Content, read_content
from ops.backup.copying import copy_store
from ops.backup.metadata import PREFIX, Backup, Check, Metadata, backup_path, list_backups, write_metadata
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing, seal_file
from ops.targets.target import Place, delete_file, move_file, staging_folder

# What begins so, in the folder of the backups, is a drill's, or a copy that is looked at.
SCRATCH_PREFIX = ".drill-"
LEFT_BEHIND_SECONDS = 3_600.0
# At a time, while other threads go on: after each, it waits until they let it.
HASHED_BYTES = 8 * 1024 * 1024


def create_backup(
    store: Path,
    folder: Place,
    *,
    description: str = "",
    version: str,
    now_ms: int | None = None,
    sealing: Sealing = Sealing(),  # noqa: B008 - nothing changes it
    prove: Callable[[Backup, Progress], None] | None = None,
    plain_copy: Path | None = None,
    progress: Progress = ignore_progress,
) -> Backup:
    """A new backup of a store, also while a service writes to it; in its place and checked when this returns.

    `folder` is made where it is missing. Everything that was committed before the call is in the backup.
    `prove` is done with the checked copy before it is sealed, while it can be read. `plain_copy` is where
    that copy is left, if the backup is not a plain file itself.

    Raises:
        BackupError: the copy is not what the store was; the store is damaged; it is not proven.
        OSError, apsw.Error: the disk is full, the store cannot be read, the bucket is away. No backup is left
            behind.
    """
    began = time.monotonic()
    outgoing = staging_folder(folder)
    # What is encrypted was never readable on the disk of the backups, not even for a moment.
    staging = store.parent if sealing.recipients else outgoing
    for each in (staging, outgoing):
        sweep(each)
    timestamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    outgoing.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = backup_path(folder, timestamp, sealing.suffix)
    with _temporary(staging / path.name.removesuffix(sealing.suffix)) as temporary:
        source = copy_store(store, temporary, progress)
        verified = _verified_head(folder, source)
        checksum, content = check_copy(temporary, source, verified, progress)
        checked: tuple[Check, ...] = ("checksum", "quick_check", "content", "chain_end")
        metadata = Metadata(
            timestamp=timestamp,
            description=description,
            version=version,
            size=_sync(temporary),
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
            chain_verified_from=verified.position,
            last_verified=timestamp,
            checks=dict.fromkeys(checked if verified.position else (*checked, "chain"), timestamp),
        )
        if prove is not None:
            prove(Backup(temporary, metadata), progress)
            metadata = msgspec.structs.replace(
                metadata,
                last_drilled=timestamp,
                checks={**metadata.checks, **dict.fromkeys(DRILL_CHECKS, timestamp)},
            )
        metadata = _put(temporary, path, metadata, sealing, plain_copy, progress)
    duration_ms = round((time.monotonic() - began) * 1000)
    try:
        return Backup(path, write_metadata(path, msgspec.structs.replace(metadata, duration_ms=duration_ms)))
    except BaseException:
        delete_file(path)
        raise


# What a drill finds out, as `prove` does.
DRILL_CHECKS: tuple[Check, ...] = ("integrity_check", "chain", "tables")


def check_copy(
    copy: Path, expected: Content, verified: chain.Head, progress: Progress
) -> tuple[str, Content]:
    """The checksum and the content of a copy that is sound, its chain recomputed behind `verified`.

    Raises:
        BackupError: it is damaged, or has not what was expected.
    """
    connection = open_sealed(copy)
    try:
        require_sound(connection, copy.name)
        content = read_content(connection)
        if content != expected:
            raise BackupError("content_differs", f"the copy {copy.name} has not what the store had")
        progress("hash chain", verified.position, content.head.position)
        require_chain(connection, copy.name, content.head, verified)
    finally:
        connection.close()
    return file_checksum(copy, progress), content


def open_sealed(path: Path) -> apsw.Connection:
    """A connection to a file that nobody changes; it takes no locks, and makes no files beside it."""
    connection = apsw.Connection(
        f"file:{_quoted(path)}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    # What a forged file may bring in its schema stays without effect.
    connection.pragma("trusted_schema", False)
    connection.pragma("cache_size", -16 * 1024)
    connection.pragma("mmap_size", 256 * 1024 * 1024)
    return connection


def require_sound(connection: apsw.Connection, name: str, *, thorough: bool = False) -> None:
    """Returns if SQLite finds nothing wrong with a file. `thorough` compares the indexes, too.

    Raises:
        BackupError: it does.
    """
    check = "integrity_check" if thorough else "quick_check"
    try:
        found = [row[0] for row in connection.execute(f"PRAGMA {check}(5)")]
    except apsw.Error as error:
        raise BackupError("damaged", f"{name} is no sound SQLite file: {error}") from error
    if found != ["ok"]:
        raise BackupError("damaged", f"{name} is damaged: {'; '.join(map(str, found))}")


def require_chain(connection: apsw.Connection, name: str, head: chain.Head, start: chain.Head) -> None:
    """Returns if the log follows from `start` (the first event by default) to `head` by its hashes.

    Raises:
        BackupError: an event was changed.
    """
    try:
        found = chain.verify_chain(connection, start)
    except chain.BrokenChainError as error:
        raise BackupError(
            "chain_broken", f"{name}: {error}", "restore another backup, to a moment before"
        ) from error
    if found != head:
        raise BackupError("chain_broken", f"{name}: the log does not end as it should")


def file_checksum(path: Path, progress: Progress = ignore_progress) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    total, done = path.stat().st_size, 0
    chunk = memoryview(bytearray(HASHED_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
            done += count
            progress("checksum", done, total)
    return digest.hexdigest()


def sweep(folder: Path) -> None:
    """Removes what backups and drills that were killed have left behind: whole copies, perhaps."""
    now = time.time()
    for leftover in (*folder.glob(f".{PREFIX}*"), *folder.glob(f"{SCRATCH_PREFIX}*")):
        newest = max((one.stat().st_mtime for one in (leftover, *leftover.rglob("*"))), default=now)
        # One that is under way writes all the time.
        if now - newest < LEFT_BEHIND_SECONDS:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _verified_head(folder: Place, source: Content) -> chain.Head:
    """The head of the newest backup of the same history, up to which the chain has been verified already."""
    for backup in list_backups(folder, source.store_id):
        metadata = backup.metadata
        history = tuple(one for one in source.timelines if one[1] <= metadata.position)
        if (
            metadata.timelines == history
            and 0 < metadata.position <= source.head.position
            and metadata.last_recorded_at is not None
        ):
            return chain.Head(metadata.position, bytes.fromhex(metadata.head_hash), metadata.last_recorded_at)
    return chain.Head()


def _put(
    copy: Path, path: Place, metadata: Metadata, sealing: Sealing, plain_copy: Path | None, progress: Progress
) -> Metadata:
    """Puts a checked copy in its place, sealed; the metadata of what is there."""
    finished = copy
    try:
        if sealing != Sealing():
            progress("seal", 0, 1)
            finished = staging_folder(path.parent) / f".{path.name}.tmp"
            finished.touch(0o600)
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


def _sync(path: Path) -> int:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    # Never readable by others, not even for a moment.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        yield temporary
    finally:
        for leftover in (temporary, temporary.with_name(temporary.name + "-journal")):
            leftover.unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    return quote(str(path.absolute()))
