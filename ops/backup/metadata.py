"""What is known of a backup, kept beside it: `<backup>.meta.json`, written last. Without it, there is none.

The metadata vouches for the file (size, SHA-256), for its content (position, head hash, rows of each table),
and, by a checksum of its own, for itself.
"""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

FORMAT = 1
PREFIX = "hyperpage-backup-"
SUFFIX = ".db"
_METADATA_SUFFIX = ".meta.json"

Status = Literal["good", "proven"]


class BackupError(RuntimeError):
    """A backup cannot be used, or not be made; `reason` is one word for programs, `hint` says what to do.

    Reasons: `not_found`, `no_metadata`, `metadata_damaged`, `unknown_format`, `size_differs`,
    `checksum_differs`, `damaged`, `content_differs`, `chain_broken`, `foreign`, `tables_differ`,
    `unreachable_moment`, `segment_damaged`.
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup's metadata. Times are milliseconds since the epoch, sizes bytes, hashes hexadecimal."""

    timestamp: int
    """When the copy was begun: everything that was answered before is in it."""
    description: str
    version: str
    """The version of the program that made it."""
    size: int
    checksum: str
    """SHA-256 of the file."""
    format: int = FORMAT
    store_id: str
    timeline: int
    timelines: tuple[tuple[int, int], ...]
    """Number and first position of each timeline up to its own, in order."""
    position: int
    """Of the last event; 0 where there is none."""
    head_hash: str
    first_recorded_at: int | None
    last_recorded_at: int | None
    rows: dict[str, int]
    """How many rows each table has."""
    migrations: list[str]
    sqlite_version: str
    duration_ms: int
    chain_verified_from: int
    """The hash chain was recomputed behind this position; up to it, an older backup had been verified."""
    last_verified: int
    """When all of it was last found to be right."""
    last_drilled: int | None = None
    """When a store was last made from it and found to be the same."""
    pinned: bool = False
    """Whether it is kept for good."""
    metadata_checksum: str = ""
    """SHA-256 of all the other fields."""

    @property
    def status(self) -> Status:
        """`proven` once a store was made from it, `good` before."""
        return "good" if self.last_drilled is None else "proven"


class Backup(msgspec.Struct, frozen=True):
    """A backup that has its metadata."""

    path: Path
    metadata: Metadata

    @property
    def name(self) -> str:
        return self.path.name


def backup_path(folder: Path, timestamp_ms: int) -> Path:
    """Where a backup that is begun at that time goes; never a name that is taken."""
    while True:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        path = folder / f"{PREFIX}{moment:%Y%m%dT%H%M%S}{timestamp_ms % 1000:03d}Z{SUFFIX}"
        if not path.exists() and not metadata_path(path).exists():
            return path
        timestamp_ms += 1


def metadata_path(backup: Path) -> Path:
    return backup.with_name(backup.name + _METADATA_SUFFIX)


def find_backup(folder: Path, name: str) -> Path:
    """The file of a backup that is named by its name, or by a path.

    Raises:
        BackupError: there is none.
    """
    path = Path(name) if os.sep in name else folder / name
    if not path.exists():
        raise BackupError("not_found", f"there is no backup {path}", "`hyperpage backup list` lists them")
    return path


def list_backups(folder: Path, store_id: str | None = None) -> list[Backup]:
    """The backups of a folder, or of one store in it, newest first.

    What has no readable metadata is none; see `damaged_backups`.
    """
    found = []
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            found.append(Backup(path, read_metadata(path)))
        except BackupError:
            continue
    of_store = [one for one in found if store_id in (None, one.metadata.store_id)]
    return sorted(of_store, key=lambda one: (one.metadata.timestamp, one.name), reverse=True)


def damaged_backups(folder: Path) -> Iterator[tuple[Path, BackupError]]:
    """The files that look like backups and have no metadata that could be read, with the reason."""
    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        try:
            read_metadata(path)
        except BackupError as error:
            yield path, error


def read_metadata(backup: Path) -> Metadata:
    """A backup's metadata.

    Raises:
        BackupError: there is none, it is not whole, or another version's.
    """
    path = metadata_path(backup)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BackupError(
            "no_metadata",
            f"{backup.name} has no {path.name}: it was never finished, or its metadata was lost",
            "use another backup; a file without metadata is not one",
        ) from None
    except OSError as error:
        raise BackupError("metadata_damaged", f"{path.name} cannot be read: {error.strerror}") from error
    _require_known_format(path, content)
    try:
        metadata = msgspec.json.decode(content, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError("metadata_damaged", f"{path.name} cannot be read: {error}") from None
    if metadata.metadata_checksum != _checksum(metadata):
        raise BackupError("metadata_damaged", f"{path.name} was changed: its own checksum does not fit")
    return metadata


def write_metadata(backup: Path, metadata: Metadata) -> Metadata:
    """Puts the metadata in its place, whole and on disk; answers with it, its checksum included."""
    sealed = msgspec.structs.replace(metadata, metadata_checksum=_checksum(metadata))
    path = metadata_path(backup)
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(sealed)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
    return sealed


def update_metadata(backup: Path, **changes: Any) -> Metadata:
    """Changes some of a backup's metadata; the rest stays as it is now, whoever wrote it meanwhile.

    Raises:
        BackupError: there is none any more.
    """
    return write_metadata(backup, msgspec.structs.replace(read_metadata(backup), **changes))


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_known_format(path: Path, content: bytes) -> None:
    try:
        found: Any = msgspec.json.decode(content, type=dict[str, Any]).get("format")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if found != FORMAT:
        raise BackupError(
            "unknown_format",
            f"{path.name} is of format {found!r}, and this program reads {FORMAT}",
            "use the version of the program that wrote it",
        )


def _checksum(metadata: Metadata) -> str:
    content = msgspec.json.encode(
        msgspec.structs.replace(metadata, metadata_checksum=""), order="deterministic"
    )
    return hashlib.sha256(content).hexdigest()
