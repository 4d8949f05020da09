"""Checks that a backup is still as it was made: `verify_backup`. Each kind of damage has its own message."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import apsw

from bus.log import chain
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM
from migrations.runner import MigrationError
from migrations.sqlite_words import words_of
from ops.backup.content import StoreContent, read_content
from ops.backup.metadata import (
    WHOLE_CHECKS,
    Backup,
    Check,
    Metadata,
    note,
    read_backup,
    read_metadata,
    update_metadata,
)
from ops.backup.opening import opened, require_checksum, require_key, require_size
from ops.backup.sound import head_at, open_sealed, require_chain, sound_beside
from ops.progress import Progress, ignore_progress
from ops.store.troubles import require_damage
from ops.targets.errors import TABLES_DIFFER, UNUSABLE, BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signing, require_accepted
from ops.targets.target import Place


def verify_backup(
    path: Place,
    *,
    whole: bool = True,
    store_id: str | None = None,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
    scratch: Path | None = None,
    progress: Progress = ignore_progress,
) -> Backup:
    """The backup, found to be sound, with its metadata as it is in its place.

    `whole` recomputes the hash chain from the first event on, and compares the indexes with their tables;
    otherwise the chain is recomputed from where the check at its creation began. The backup must be of the
    store `store_id`, if one is given.

    Raises:
        BackupError: it is not sound, or encrypted and cannot be read; `reason` says how.
        OSError: the bucket is away, the disk is full.
    """
    described = verified(
        path,
        whole=whole,
        store_id=store_id,
        identities=identities,
        signing=signing,
        scratch=scratch,
        progress=progress,
    )
    with described:
        return read_backup(path, signing)


@contextmanager
def verified(
    path: Place,
    *,
    whole: bool = True,
    store_id: str | None = None,
    inside: bool = True,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
    scratch: Path | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Backup]:
    """The backup as a plain local file, verified as `verify_backup` does it, for the length of the block.

    Without `inside`, its checksum and content are not checked: the caller copies it, and checks the copy.

    Raises:
        BackupError: it is not sound, not signed as it must be, or encrypted and cannot be read; `reason`
            says how.
        OSError: the bucket is away, the disk is full.
    """
    backup = _described(path, store_id, signing)
    require_size(backup)
    if backup.metadata.recipients and not identities:
        # Damage is reported first: it matters more than a missing key.
        require_checksum(backup, progress)
        require_key(backup, identities)
    with opened(backup, identities, scratch=scratch, progress=progress) as plain:
        if inside:
            if plain is backup:
                require_checksum(backup, progress)
            require_content(plain, whole=whole, progress=progress)
        yield plain


def verify_whole(
    place: Place,
    store_id: str | None,
    identities: Identities,
    scratch: Path | None,
    progress: Progress,
    signing: Signing = ANYBODYS,
) -> Backup:
    """The backup, all of which was found to be sound; its metadata notes that.

    Raises:
        BackupError: it is not sound, or cannot be read without a key.
        OSError: the bucket is away, the disk is full.
    """
    with noting_damage(place, signing):
        found = verify_backup(
            place,
            store_id=store_id,
            identities=identities,
            signing=signing,
            scratch=scratch,
            progress=progress,
        )
    return _mark_verified(found, signing, *WHOLE_CHECKS)


def verify_by_routine(
    place: Place,
    store_id: str | None,
    progress: Progress,
    signing: Signing = ANYBODYS,
) -> Backup:
    """The backup, found to be sound by cheap checks: its indexes are not compared with their tables.

    The hash chain is recomputed from where the check at its creation began: for a backup of an older version,
    where the backup before it ends; for all others, the first event.

    An encrypted backup was checked as a whole before it was encrypted. Here it is only checked to be the same
    file, byte for byte.

    Raises:
        BackupError: it is not sound.
        OSError: the bucket is away, the disk is full.
    """
    with noting_damage(place, signing):
        if place.exists() and read_metadata(place).recipients:
            backup = _described(place, store_id, signing)
            require_size(backup)
            require_checksum(backup, progress)
            return _mark_verified(backup, signing, "checksum")
        found = verify_backup(place, whole=False, store_id=store_id, signing=signing, progress=progress)
    return _mark_verified(found, signing, "checksum", "quick_check", "content", "chain_end")


def _mark_verified(backup: Backup, signing: Signing, *checks: Check) -> Backup:
    """Notes in a backup's metadata that these checks have just passed."""
    now = time.time_ns() // 1_000_000
    known = read_metadata(backup.place)
    return note(
        backup.place,
        signing,
        last_verified=now,
        checks={**known.checks, **dict.fromkeys(checks, now)},
        # Only a drill checks the tables, so only a drill can clear this.
        unsound=known.unsound if known.unsound == TABLES_DIFFER else "",
    )


@contextmanager
def noting_damage(place: Place, signing: Signing) -> Iterator[None]:
    """Writes damage that the block finds into the backup's metadata, so that restores pass over it."""
    try:
        yield
    except BackupError as error:
        if error.reason in UNUSABLE | {TABLES_DIFFER} and error.reason != "unknown_format":
            # The damage is raised even if it cannot be noted.
            with suppress(BackupError, OSError):
                update_metadata(place, signing, unsound=error.reason)
        raise


def _described(path: Place, store_id: str | None, signing: Signing) -> Backup:
    if not path.exists():
        raise BackupError("not_found", f"there is no backup {path}", "`hyperpage backup list` lists them")
    backup = read_backup(path, signing)
    require_accepted(backup.name, backup.signature)
    if store_id is not None and backup.metadata.store_id != store_id:
        raise BackupError(
            "foreign",
            f"{path.name} is of store {backup.metadata.store_id}, not of {store_id}",
            "choose one of its own",
        )
    return backup


def require_content(
    plain: Backup, *, whole: bool, copy: Path | None = None, progress: Progress = ignore_progress
) -> None:
    """Returns if a plain local backup, or a `copy` of it, has the content that its metadata says.

    Raises:
        BackupError: the content differs, is damaged, or cannot be read.
    """
    name, metadata = plain.name, plain.metadata
    sealed = partial(open_sealed, plain.path if copy is None else copy)
    try:
        with sound_beside(sealed, name, thorough=whole), closing(sealed()) as connection:
            content = read_content(connection)
            _require_same(name, metadata, content)
            _require_forks(connection, name, content)
            start = chain.Head() if whole else head_at(connection, metadata.chain_verified_from)
            progress("hash chain", start.position, content.head.position)
            require_chain(connection, name, content.head, start)
    except (apsw.Error, UnicodeDecodeError) as error:
        require_damage(error, name)
        raise BackupError("damaged", f"{name} cannot be read: {words_of(error)}") from error
    except MigrationError as error:
        raise BackupError("unknown_format", f"{name}: {error.message}", error.hint) from error


def _require_forks(connection: apsw.Connection, name: str, content: StoreContent) -> None:
    """Returns if each timeline begins where the log has its fork; the first timeline has no fork."""
    forks = connection.execute(
        "SELECT data ->> '$.timeline', position FROM events WHERE stream = ? AND type = ?",
        (TIMELINE_STREAM, TIMELINE_FORKED),
    )
    if set(content.timelines) - {(1, 1)} != set(forks) - {(1, 1)}:
        raise BackupError("content_differs", f"{name}: its timelines are not those of its log")


def _require_same(name: str, metadata: Metadata, content: StoreContent) -> None:
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
                "content_differs", f"{name}: its metadata says {what} {said}, and it has {found}"
            )
