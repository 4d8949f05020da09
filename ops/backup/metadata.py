"""A backup's metadata, kept beside it: `<backup>.meta.json`, written last. A file without it is no backup.

The metadata vouches for the file (size, SHA-256), for its content (position, head hash, rows of each table),
and, by a checksum of its own, for itself. A signature says which key vouches for all that. Each change is
signed again with the key of the store; metadata that was not trusted before is never signed.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

import msgspec

from ops.store.troubles import TOO_MANY_FILES
from ops.targets.bucket import BucketPath
from ops.targets.documents import Hash, Moment, Whole, decode_document
from ops.targets.errors import UNUSABLE, BackupError
from ops.targets.sealing import Sealing
from ops.targets.signing import ANYBODYS, Signature, Signing, SigningKey, require_accepted
from ops.targets.target import Entry, KeptFile, Place, address, list_files, read_files, write_file
from ops.targets.vouching import add_signature, encode_vouched, is_whole, split_signature

FORMAT = 1
PREFIX = "hyperpage-backup-"
SUFFIX = ".db"
_METADATA_SUFFIX = ".meta.json"
_NAME = re.compile(re.escape(PREFIX) + r".*\.db(\.zst)?(\.age)?")

Status = Literal["good", "proven", "damaged"]
# The checks of a backup, in this order: the file is the one that was made; SQLite finds nothing wrong with it
# (quickly, and thoroughly); it has the content of the store; the hash chain of the log holds, from where an
# older backup ends, or from the first event on; the tables are what the log says.
Check = Literal["checksum", "quick_check", "integrity_check", "content", "chain_end", "chain", "tables"]
# The checks that a drill makes beside `checksum` and `content`.
DRILL_CHECKS: tuple[Check, ...] = ("integrity_check", "chain", "tables")
# The checks of a verification that reads the whole backup.
WHOLE_CHECKS: tuple[Check, ...] = (
    *("checksum", "quick_check", "integrity_check", "content", "chain_end", "chain"),
)
_Where = TypeVar("_Where", Path, BucketPath, Place)


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup's metadata. Times are milliseconds since the epoch, sizes bytes, hashes hexadecimal."""

    timestamp: Moment
    """When the copy was begun: everything that was answered before is in it."""
    description: str
    version: str
    """The version of the program that made it."""
    size: Whole
    checksum: Hash
    """SHA-256 of the file, as it lies there."""
    compression: Literal["zstd"] | None = None
    """How the file is compressed."""
    recipients: tuple[str, ...] = ()
    """The public keys that it is encrypted to with age; empty if it is not encrypted."""
    plain_size: Whole | None = None
    plain_checksum: Hash | None = None
    """Those of the database in it, where the file is compressed or encrypted."""
    format: int = FORMAT
    store_id: str
    timeline: Whole
    timelines: tuple[tuple[Whole, Whole], ...]
    """Number and first position of each timeline up to its own, in order."""
    position: Whole
    """Of the last event; 0 where there is none."""
    head_hash: str
    first_recorded_at: Moment | None
    last_recorded_at: Moment | None
    rows: dict[str, Whole]
    """How many rows each table has."""
    migrations: list[str]
    sqlite_version: str
    duration_ms: Whole
    chain_verified_from: Whole
    """The hash chain was recomputed behind this position: 0, except by older versions of the program."""
    last_verified: Moment
    """When it was last found to be right, as far as it could be read."""
    checks: dict[Check, Moment] = {}
    """The time of each check. If the file is encrypted, all but `checksum` were made before that."""
    last_drilled: Moment | None = None
    """When a store was last made from it and found to be the same."""
    audit_head: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """The head of the audit log when it was made, as `7:9f86d0…`; empty: none could be read."""
    pinned: bool = False
    """Whether it is kept for good."""
    unsound: str = ""
    """Why the last check found the file unsound, as the reason of a `BackupError`; empty if it is sound."""
    metadata_checksum: str = ""
    """SHA-256 of all the other fields."""

    @property
    def status(self) -> Status:
        """`proven` once a store was made from it, `good` before; `damaged` if the last check found damage."""
        if self.unsound:
            return "damaged"
        return "good" if self.last_drilled is None else "proven"

    @property
    def sealing(self) -> Sealing:
        """The compression and encryption of the file."""
        return Sealing("zstd" if self.compression else "none", self.recipients)


class Backup(KeptFile, frozen=True):
    """A backup that has its metadata."""

    metadata: Metadata
    signature: Signature = Signature()

    @property
    def status(self) -> Status:
        """The status in its metadata; `damaged` if its signature is refused."""
        return "damaged" if self.signature.is_refused else self.metadata.status

    @property
    def is_usable(self) -> bool:
        """Whether a restore may use it, as far as its signature and its checks say."""
        return self.metadata.unsound not in UNUSABLE and not self.signature.is_refused

    @property
    def is_plain_here(self) -> bool:
        """Whether it is a database in a local file, which can be opened as it is."""
        return isinstance(self.place, Path) and self.metadata.sealing == Sealing()


def entry_of(backup: Backup) -> dict[str, Any]:
    """A backup as answers of the command line and of the service show it."""
    return {
        "name": backup.name,
        "path": address(backup.place),
        "status": backup.status,
        "metadata": backup.metadata,
        "signature": backup.signature.state,
        "signed_by": backup.signature.key,
        "trusted": backup.signature.is_trusted,
    }


@overload
def backup_path(folder: Path, timestamp_ms: int, suffix: str = "") -> Path: ...
@overload
def backup_path(folder: Place, timestamp_ms: int, suffix: str = "") -> Place: ...
def backup_path(folder: Place, timestamp_ms: int, suffix: str = "") -> Place:
    """The free place for a backup that is begun at that time. `suffix` says how the file is sealed."""
    taken = {one.name.removesuffix(_METADATA_SUFFIX) for one in list_files(folder)}
    while True:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        name = f"{PREFIX}{moment:%Y%m%dT%H%M%S}{timestamp_ms % 1000:03d}Z{SUFFIX}"
        if not any(one.startswith(name) for one in taken):
            return folder / (name + suffix)
        timestamp_ms += 1


def metadata_path(backup: _Where) -> _Where:
    return backup.with_name(backup.name + _METADATA_SUFFIX)


def find_backup(folder: Place, name: str) -> Place:
    """The file of a backup, given by its name or by a path.

    Raises:
        BackupError: there is no such backup.
        BucketError: the bucket is away.
    """
    of_bucket = name.removeprefix(f"{folder}/") if isinstance(folder, BucketPath) else name
    path: Place = Path(name) if os.sep in of_bucket else folder / of_bucket
    if not path.exists():
        raise BackupError("not_found", f"there is no backup {path}", "`hyperpage backup list` lists them")
    return path


def list_backups(folder: Place, store_id: str | None = None, signing: Signing = ANYBODYS) -> list[Backup]:
    """The backups of a folder, or of one store in it, newest first, each with its signature.

    A file without readable metadata is not listed; see `damaged_backups`. A forged one is listed as damaged.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    return look_for_backups(folder, store_id, signing)[0]


def damaged_backups(folder: Place) -> list[tuple[Place, BackupError]]:
    """The files that are named like backups and have no readable metadata, each with the reason."""
    return look_for_backups(folder)[1]


def look_for_backups(
    folder: Place, store_id: str | None = None, signing: Signing = ANYBODYS
) -> tuple[list[Backup], list[tuple[Place, BackupError]]]:
    """The answers of `list_backups` and `damaged_backups`, with one reading of the folder.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    files = {one.name: one for one in list_files(folder)}
    found = [one for one in files.values() if _NAME.fullmatch(one.name)]
    described = [one for one in found if one.name + _METADATA_SUFFIX in files]
    contents = read_files([files[one.name + _METADATA_SUFFIX] for one in described])
    by_name = dict(zip((one.name for one in described), contents, strict=True))
    backups: list[Backup] = []
    others: list[tuple[Place, BackupError]] = []
    for one in found:
        content = by_name.get(one.name, FileNotFoundError())
        if isinstance(content, OSError) and content.errno in TOO_MANY_FILES:
            # The process has too many files open; that says nothing about the backup.
            raise content
        try:
            backup = backup_of(one.path, content, signing)
        except BackupError as error:
            others.append((one.path, error))
        else:
            if store_id in (None, backup.metadata.store_id):
                backups.append(backup)
    backups.sort(key=lambda one: (one.metadata.timestamp, one.name), reverse=True)
    return backups, sorted(others, key=lambda one: one[0].name)


def read_metadata(backup: Place) -> Metadata:
    """A backup's metadata; its signature is not checked.

    Raises:
        BackupError: there is no metadata, it is not whole, or it is another version's.
        BucketError: the bucket is away.
    """
    return read_backup(backup, ANYBODYS).metadata


def read_backup(place: Place, signing: Signing) -> Backup:
    """A backup with its metadata and its signature; the caller decides whether the signature will do.

    Raises:
        BackupError: there is no metadata, it is not whole, or it is another version's.
        BucketError: the bucket is away.
    """
    return backup_of(place, read_files([Entry(metadata_path(place), 0, "")])[0], signing)


def write_metadata(backup: Place, metadata: Metadata, signer: SigningKey | None = None) -> Metadata:
    """Writes the metadata to its place, signed and synced; returns it with its checksum."""
    content = encode_vouched(metadata)
    write_file(metadata_path(backup), add_signature(content, signer, "backup", backup.name))
    return decode_document(content, Metadata)


def update_metadata(place: Place, signing: Signing = ANYBODYS, **changes: Any) -> Backup:
    """The backup, with some of its metadata changed; the rest is read anew, so other changes are kept.

    Signed metadata is signed again. Unsigned metadata stays unsigned: it may be forged, and a signature would
    vouch for it.

    Raises:
        BackupError: there is no metadata any more, it is forged, or it is signed and there is no key to sign
            the change with.
    """
    backup = read_backup(place, signing)
    signer = None
    if backup.signature.state != "unsigned":
        require_accepted(place.name, backup.signature)
        signer = signing.own_key
        if signer is None or not backup.signature.is_trusted:
            raise BackupError(
                "no_signing_key",
                f"{place.name} is {backup.signature}, and there is nothing here to sign a change with",
                "change it where its store is",
            )
    metadata = write_metadata(place, msgspec.structs.replace(backup.metadata, **changes), signer)
    return Backup(place, metadata, backup.signature if signer is None else signer.trusted)


def note(place: Place, signing: Signing, **changes: Any) -> Backup:
    """The backup with a finding in its metadata. Without a key to sign the change, the file stays as it is.

    See `update_metadata`.

    Raises:
        BackupError: there is no metadata any more, or it is forged.
    """
    try:
        return update_metadata(place, signing, **changes)
    except BackupError as error:
        if error.reason != "no_signing_key":
            raise
    backup = read_backup(place, signing)
    return Backup(place, msgspec.structs.replace(backup.metadata, **changes), backup.signature)


def backup_of(place: Place, content: bytes | OSError, signing: Signing) -> Backup:
    """The backup at a place, given the content of its metadata file, or the error of reading that.

    Raises:
        BackupError: the metadata is not whole, could not be read, or is another version's.
    """
    signature = signing.unsigned()
    if isinstance(content, bytes):
        content, signature = split_signature(content, signing, "backup", place.name)
    return Backup(place, _metadata(place, content), signature)


def _metadata(backup: Place, content: bytes | OSError) -> Metadata:
    name = metadata_path(backup).name
    if isinstance(content, FileNotFoundError):
        raise BackupError(
            "no_metadata",
            f"{backup.name} has no {name}: it was never finished, or its metadata was lost",
            "use another backup, or bring its metadata back, from a copy of the folder say; keep a file that"
            " is the only copy: it may be a whole database",
        )
    if isinstance(content, OSError):
        raise BackupError("metadata_damaged", f"{name} cannot be read: {content.strerror}") from content
    _require_known_format(name, content)
    try:
        metadata = decode_document(content, Metadata)
        whole = is_whole(content)
    except msgspec.DecodeError as error:
        raise BackupError("metadata_damaged", f"{name} cannot be read: {error}") from None
    if not whole:
        raise BackupError("metadata_damaged", f"{name} was changed: its own checksum does not fit")
    return metadata


def _require_known_format(name: str, content: bytes) -> None:
    try:
        found: Any = decode_document(content, dict[str, Any]).get("format")
    except msgspec.DecodeError:
        return
    if found != FORMAT:
        raise BackupError(
            "unknown_format",
            f"{name} is of format {found!r}, and this program reads {FORMAT}",
            "use the version of the program that wrote it",
        )
