"""A backup for members that reach no other one: `Sharing` puts it on the nats-servers, `received` gets it.

    the leader's newest proven backup ──▶ the nats-servers ──▶ the folder of a member that has none
                                                │
                                                └─ the log need not keep the events in it

If backups are in a bucket, or in a folder that all members reach, this is not needed.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

import apsw
import msgspec

from bus.kept_files import make_folder
from bus.log.reader_pool import ReaderPool
from bus.replication.log_stream import LogBeginning, LogStream
from bus.replication.shared_backup import SharedBackup, SharedBackups
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.waiting import Trouble
from ops.backup.metadata import Backup, backup_of, list_backups, metadata_path
from ops.backup.opening import require_room
from ops.backup.own_command import run_backup_command
from ops.backup.requests import BackupName
from ops.backup.sound import file_checksum, head_at
from ops.settings import MIB, Settings
from ops.targets.errors import BackupError
from ops.targets.regular_files import open_regular, open_to_write
from ops.targets.signing import require_accepted
from ops.targets.target import MAXIMUM_METADATA_BYTES, local, move_file, read_whole, write_file

# The time between two backups that are made for sharing alone.
MAKE_AGAIN_SECONDS = 600.0
# How long after a failed try a backup is put there again: each try may fill space that others need.
PUT_AGAIN_SECONDS = 600.0

logger = logging.getLogger(__name__)


def sharing_trouble() -> Trouble:
    """The `Trouble` to which a `Sharing` reports errors."""
    # Without pauses of its own: `Trimming` decides when to try again.
    return Trouble("keeping a backup on the nats-servers", logger, first_pause_ms=0, longest_pause_ms=0)


class NotSharedError(RuntimeError):
    """No backup can be put on the nats-servers."""

    def __init__(self, problem: str, repair: str) -> None:
        super().__init__(f"{problem}; {repair}")
        self.problem = problem
        self.repair = repair


class Sharing:
    """Puts the leader's backups on the nats-servers; `timeline` is that of the log, and of the readers' file.

    Errors are reported to `trouble`.
    """

    def __init__(
        self,
        settings: Settings,
        log: LogStream,
        shared: SharedBackups,
        readers: ReaderPool,
        timeline: int,
        trouble: Trouble,
    ) -> None:
        self._settings = settings
        self._log = log
        self._shared = shared
        self._readers = readers
        self._timeline = timeline
        self._made_at: float | None = None
        self._failed_at = -PUT_AGAIN_SECONDS
        self.trouble = trouble

    async def share(self) -> Backup | None:
        """Puts a newer backup there if there is one; the backup of this log that is there then, if any.

        Raises:
            ClusterError, LogStreamError, JetStreamError, OSError: what is there cannot be seen.
        """
        there = None
        try:
            await self._shared.prepare(self._settings.replication_replicas)
            there = await self._there()
            newer = await self._newer(there)
            if newer is not None:
                if time.monotonic() - self._failed_at < PUT_AGAIN_SECONDS:
                    return there
                await self._put(newer)
        except (RuntimeError, OSError, apsw.Error) as error:
            self.trouble.failed(error)
            if not isinstance(error, NotSharedError):
                raise
            return there
        self.trouble.recovered()
        return newer or there

    async def _there(self) -> Backup | None:
        if (found := await self._shared.newest()) is None:
            return None
        try:
            backup = _described(self._settings, found)
        except BackupError as error:
            logger.warning("what is in %s is of no use: %s", self._shared.name, error.message)
            return None
        return await asyncio.to_thread(newest_of_log, [backup], self._readers, self._timeline)

    async def _newer(self, there: Backup | None) -> Backup | None:
        """The backup to be put there; `None` if the one there is new enough.

        Raises:
            NotSharedError: it cannot be put there, or there is none although new members need one.
        """
        own = await asyncio.to_thread(self._own)
        begins = (await self._log.beginning()).position
        if max(one.metadata.position if one else 0 for one in (there, own)) < begins:
            # A member without a file can start from nothing else, so a backup is made now, not on schedule.
            own = await self._made()
        if own is None or (there is not None and there.metadata.position >= own.metadata.position):
            return None
        if own.metadata.size > self._settings.shared_backup_bytes:
            raise NotSharedError(
                f"{own.name} has {own.metadata.size // MIB} MiB, and"
                f" {self._settings.shared_backup_bytes // MIB} may be there",
                "raise replication_backup_mib, or keep backups where all members reach them",
            )
        return own

    def _own(self) -> Backup | None:
        settings = self._settings
        backups = list_backups(settings.backup_folder, self._log.store_id, settings.signing)
        readable = [one for one in backups if not one.metadata.recipients]
        return newest_of_log(readable, self._readers, self._timeline)

    async def _made(self) -> Backup | None:
        if self._settings.encrypt_to:
            raise NotSharedError(
                "backups are encrypted, and no member has a key for them",
                "copy the file of a member that is stopped to a new one",
            )
        now = time.monotonic()
        if self._made_at is not None and now - self._made_at < MAKE_AGAIN_SECONDS:
            raise NotSharedError("a backup was made, and is of no use here", "`hyperpage backup list` tells")
        self._made_at = now
        ran = await run_backup_command(self._settings.data, "create", "--prove", name="for new members")
        if not ran.succeeded:
            raise NotSharedError(f"a backup could not be made: {ran.message}", ran.hint)
        return await asyncio.to_thread(self._own)

    async def _put(self, backup: Backup) -> None:
        metadata = await asyncio.to_thread(read_whole, metadata_path(backup.place), MAXIMUM_METADATA_BYTES)
        try:
            with open_regular(backup.path) as raw, BufferedReader(raw) as file:
                await self._shared.put(backup.name, metadata.decode(), file, backup.metadata.size)
        except (RuntimeError, OSError):
            self._failed_at = time.monotonic()
            raise
        logger.info("%s is on the nats-servers, in %s", backup.name, self._shared.name)


def newest_of_log(backups: Iterable[Backup], readers: ReaderPool, timeline: int) -> Backup | None:
    """The proven backup with most events of the same log that the file has; `None` if there is none."""
    proven = [
        one
        for one in backups
        if one.is_usable and one.status == "proven" and one.metadata.timeline == timeline
    ]
    newest = max(proven, key=lambda one: one.metadata.position, default=None)
    if newest is None:
        return None
    with readers.connection() as connection:
        head = head_at(connection, newest.metadata.position)
    return newest if head.hash.hex() == newest.metadata.head_hash else None


async def received(settings: Settings, relay: LeanClient, store_id: str, begins: LogBeginning) -> bool:
    """Gets the backup on the nats-servers into the folder, if it leads to the log's begin; whether it did.

    Raises:
        BackupError: the backup was changed there, is of another store, or may not be used.
        ClusterError, JetStreamError: the backup cannot be had.
        OSError: the disk is full.
    """
    folder = settings.backup_folder
    shared = SharedBackups(relay, settings.names, store_id)
    if not isinstance(folder, Path) or (found := await shared.newest()) is None:
        return False
    backup = _described(settings, found)
    metadata = backup.metadata
    # If the folder has the whole backup already, it did not help. A half or damaged copy is fetched again.
    is_here = await asyncio.to_thread(_is_whole, backup)
    if is_here or (metadata.timeline, metadata.position) < (begins.timeline, begins.position):
        return False
    require_accepted(backup.name, backup.signature)
    temporary = folder / f".{backup.name}.tmp"
    make_folder(folder)
    require_room(folder, metadata.size)
    try:
        with os.fdopen(open_to_write(temporary), "wb") as file:
            is_whole = await shared.get(found, file)
        if not is_whole or await asyncio.to_thread(file_checksum, temporary) != metadata.checksum:
            raise BackupError(
                "checksum_differs",
                f"{backup.name}, as the nats-servers have it, is not what was put there",
                f"delete the stream {shared.stream}: who leads puts one there again within a minute",
            )
        await asyncio.to_thread(move_file, temporary, backup.path, lambda _, __: None)
        await asyncio.to_thread(write_file, metadata_path(backup.path), found.metadata.encode())
    finally:
        temporary.unlink(missing_ok=True)
    logger.info("%s came from the nats-servers, where %s has it", backup.name, shared.name)
    return True


def _is_whole(backup: Backup) -> bool:
    """Whether the folder has this very backup, with its metadata."""
    try:
        return metadata_path(backup.path).exists() and file_checksum(backup.path) == backup.metadata.checksum
    except FileNotFoundError:
        return False


def _described(settings: Settings, found: SharedBackup) -> Backup:
    """The backup on the nats-servers, described as if it were in the folder.

    Raises:
        BackupError: its metadata is incomplete, or of another version.
    """
    try:
        name = msgspec.convert(found.name, BackupName)
    except msgspec.ValidationError:
        raise BackupError("foreign", f"{found.name!r} is no name of a backup") from None
    return backup_of(local(settings.backup_folder) / name, found.metadata.encode(), settings.signing)
