"""Backups by the clock: made, pruned, verified and proven while the service runs. `BackupSchedule`.

Each step is a command in a process of its own; see `own_command`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from ops.backup.metadata import Backup, Metadata, list_backups, look_for_backups
from ops.backup.own_command import run_backup_command
from ops.settings import Settings
from ops.targets.target import address, local

# A backup that failed is tried again after this time, or after an interval, if that is shorter.
RETRY_MS = 5 * 60 * 1000
# Backups are stale after this many intervals without one: a single backup may be late.
STALE_INTERVALS = 2
# How many backups count as the newest.
NEWEST = 5
DAY_MS = 24 * 60 * 60 * 1000
# The time between two verifications of a backup: of the newest ones, and of the older ones.
VERIFY_NEWEST_AFTER_MS = DAY_MS
VERIFY_AFTER_MS = 28 * DAY_MS
# The whole archive is verified once a week, and an hour after a start: a damaged segment can be written anew
# as long as the store has its events.
VERIFY_ARCHIVE_AFTER_MS = 7 * DAY_MS
VERIFY_ARCHIVE_FIRST_AFTER_MS = 60 * 60 * 1000
# The first backup of a store is made this long after a start, so a service that dies at its start makes none.
FIRST_AFTER_MS = 60_000
# How often the schedule checks whether something is due.
LOOK_SECONDS = 15.0

# The age from which the folder's modification time identifies its content: more than a tick of the clock of
# the file system.
SETTLED_NS = 1_000_000_000
# Replaces `unsound` in the remembered metadata once the damage has been reported in full.
TOLD = "told"

Change = Literal["started", "completed", "failed", "verified"]

logger = logging.getLogger(__name__)


class BackupState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the backups. Times are milliseconds since the epoch; `None` where there is none."""

    last: str | None
    last_at: int | None
    last_proven: str | None
    last_proven_at: int | None
    """When it was made, not when it was proven."""
    count: int
    failure: str | None
    """Why the last attempt to make, verify or prove one failed; `None` if it did not."""
    stale: bool
    """Whether there should have been one since."""


class BackupSchedule:
    """The backups of a running service. Each change is reported to `notify`."""

    def __init__(
        self,
        settings: Settings,
        store_id: str,
        *,
        notify: Callable[[Change, dict[str, Any]], Awaitable[None]],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._settings = settings
        self._store_id = store_id
        self.tell = notify
        self._clock = clock
        self._look_seconds = look_seconds
        self._began = clock()
        self._retry_at = 0
        self._verify_archive_at = self._began + VERIFY_ARCHIVE_FIRST_AFTER_MS
        # Failures by command and backup ("" for a command about no backup), until the command has worked.
        self._failures: dict[tuple[str, str], str] = {}
        # The backups at the last look.
        self._seen: list[Backup] = []
        # The folder's modification time at that look.
        self._changed_at: int | None = None
        # The metadata of each backup as last reported; `None` before the first look, which reports nothing.
        self._told: dict[str, Metadata] | None = None
        # The files without metadata at the last look: their metadata may be about to be written.
        self._unfinished: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self._was_stale = False

    @property
    def state(self) -> BackupState:
        """The state now, read from the folder; of a bucket, which may be away, the state at the last look."""
        is_local = isinstance(self._settings.backup_folder, Path)
        backups = self._backups() if is_local else self._seen
        names = {"", *(one.name for one in backups)}
        failures = [
            reason
            for (command, name), reason in tuple(self._failures.items())
            if command == "look" or name in names
        ]
        failures += [_damage(one) for one in backups if _is_bad(one)]
        ours = [one for one in backups if not one.signature.is_refused]
        last = next(iter(ours), None)
        proven = next((one for one in ours if one.status == "proven"), None)
        now = self._clock()
        since = max([self._began, *(one.metadata.timestamp for one in ours if one.metadata.timestamp <= now)])
        return BackupState(
            last=None if last is None else last.name,
            last_at=None if last is None else last.metadata.timestamp,
            last_proven=None if proven is None else proven.name,
            last_proven_at=None if proven is None else proven.metadata.timestamp,
            count=len(ours),
            failure=next(iter(failures), None),
            stale=self._interval_ms > 0 and now - since > STALE_INTERVALS * self._interval_ms,
        )

    async def run(self) -> None:
        """Carries out what is due, one step after the other, for ever."""
        while True:
            try:
                await self.do_what_is_due()
            except Exception as error:  # commands must be served, whatever is wrong with backups
                logger.exception("the schedule of backups failed")
                self._failures["look", ""] = f"the schedule of backups failed: {error}"
            else:
                self._failures.pop(("look", ""), None)
            await asyncio.sleep(self._look_seconds)

    async def do_what_is_due(self) -> None:
        """Makes a backup and prunes, if one is due; then proves or verifies one backup, or the archive."""
        backups = await self.look()
        await self._tell_if_stale()
        if self._is_backup_due(backups):
            await self._make(prove=bool(self._settings.encrypt_to) and self._is_drill_due(backups))
            backups = await self.look()
        if (unproven := self._to_prove(backups)) is not None:
            await self._prove("drill", unproven)
        elif (unverified := self._to_verify(backups)) is not None:
            await self._prove("verify", unverified)
        elif self._clock() >= self._verify_archive_at:
            self._verify_archive_at = self._clock() + VERIFY_ARCHIVE_AFTER_MS
            await self._command("verify-archive", "")

    async def look(self) -> list[Backup]:
        """The backups. Each that is new, verified or damaged since the last look is reported."""
        async with self._looking:
            backups = await asyncio.to_thread(self._look)
            before, self._told = self._told, {one.name: one.metadata for one in backups}
            if before is not None:
                for one in backups:
                    await self._tell_what_changed(one, before.get(one.name))
            return backups

    async def _tell_what_changed(self, backup: Backup, before: Metadata | None) -> None:
        name, now = backup.name, backup.metadata
        if backup.signature.is_refused:
            # No trusted key vouches for its metadata, so only the refusal itself is reported.
            if _is_bad(backup) and before != now:
                await self.tell("failed", {"what": "verify", "name": name, "reason": _damage(backup)})
            return
        if before is None:
            await self.tell(
                "completed", {"path": address(backup.place), "metadata": msgspec.to_builtins(now)}
            )
        if now.unsound:
            if before is None or not before.unsound:
                await self.tell("failed", {"what": "verify", "name": name, "reason": _damage(backup)})
        elif (before is not None and now.last_verified > before.last_verified) or (
            before is None and now.status == "proven"
        ):
            for command in ("verify", "drill"):
                self._failures.pop((command, name), None)
            await self.tell("verified", {"name": name, "status": now.status})

    @property
    def _interval_ms(self) -> float:
        return self._settings.backup_interval_minutes * 60_000

    def _backups(self) -> list[Backup]:
        folder = local(self._settings.backup_folder)
        # The health check calls this every other second, so hundreds of files are read only when a file is
        # new or gone, which changes the folder's modification time.
        try:
            changed_at = folder.stat().st_mtime_ns if folder.is_dir() else None
            if changed_at is not None and changed_at == self._changed_at:
                return self._seen
            # Two changes within one tick of the file system's clock give the folder the same time.
            is_settled = changed_at is not None and time.time_ns() - changed_at > SETTLED_NS
            self._seen = list_backups(folder, self._store_id, self._settings.signing)
        except OSError as error:
            self._changed_at = None
            self._failures["list", ""] = f"the backups cannot be listed: {error}"
        else:
            self._changed_at = changed_at if is_settled else None
            self._failures.pop(("list", ""), None)
        return self._seen

    def _look(self) -> list[Backup]:
        try:
            self._seen, others = look_for_backups(
                self._settings.backup_folder, self._store_id, self._settings.signing
            )
        except OSError as error:
            self._failures["list", ""] = f"the backups cannot be listed: {error}"
            return self._seen
        self._failures.pop(("list", ""), None)
        lost = {place.name: f"{error.message}; {error.hint}" for place, error in others}
        unfinished = frozenset(place.name for place, error in others if error.reason == "no_metadata")
        for name in unfinished - self._unfinished:
            del lost[name]
        self._unfinished = unfinished
        for command, name in tuple(self._failures):
            if command == "look" and name and name not in lost:
                del self._failures[command, name]
        for name, reason in lost.items():
            if ("look", name) not in self._failures:
                logger.error("%s", reason)
            self._failures["look", name] = reason
        return self._seen

    async def _tell_if_stale(self) -> None:
        is_stale = await asyncio.to_thread(lambda: self.state.stale)
        if is_stale and not self._was_stale:
            reason = "the last backup is older than twice the interval between two"
            await self.tell("failed", {"what": "create", "reason": reason})
        self._was_stale = is_stale

    def _is_backup_due(self, backups: list[Backup]) -> bool:
        now = self._clock()
        if self._interval_ms == 0 or now < self._retry_at:
            return False
        # A backup from the future does not count: it was made while the clock was wrong.
        past = [one for one in backups if one.metadata.timestamp <= now and not one.signature.is_refused]
        if not past:
            return now - self._began >= min(FIRST_AFTER_MS, self._interval_ms)
        return now - past[0].metadata.timestamp >= self._interval_ms

    def _is_drill_due(self, backups: list[Backup]) -> bool:
        hours = self._settings.backup_drill_hours
        sound = [one.metadata for one in backups if one.status != "damaged"]
        proven_at = max((one.last_drilled or 0 for one in sound), default=0)
        return hours > 0 and self._clock() - proven_at >= hours * 3_600_000

    def _to_prove(self, backups: list[Backup]) -> Backup | None:
        sound = [one for one in backups if not self._is_unsound(one)]
        if not sound or not self._is_drill_due(backups):
            return None
        # The service has no key for an encrypted backup; if a drill was due, it was proven before sealing.
        newest = sound[0].metadata
        return sound[0] if newest.status != "proven" and not newest.recipients else None

    def _to_verify(self, backups: list[Backup]) -> Backup | None:
        """The backup that was verified least recently, of those that are due; `None` if none is."""
        now = self._clock()
        due = [
            one
            for place, one in enumerate(backups)
            if not self._is_unsound(one)
            and now - one.metadata.last_verified
            >= (VERIFY_NEWEST_AFTER_MS if place < NEWEST else VERIFY_AFTER_MS)
        ]
        return min(due, key=lambda one: one.metadata.last_verified, default=None)

    def _is_unsound(self, backup: Backup) -> bool:
        # A backup that failed is not tried again and again: the operator decides.
        failed = any(name == backup.name for _, name in self._failures)
        # The metadata of a backup that another key has signed cannot be changed. Its verification could not
        # be noted, so it would be verified again and again.
        is_anothers = backup.signature.state == "signed" and not backup.signature.is_trusted
        return failed or is_anothers or backup.status == "damaged"

    async def _make(self, *, prove: bool) -> None:
        await self.tell("started", {})
        if await self._command("create", "", *(["--prove"] if prove else []), argument="by the clock"):
            await self.look()
            await self._command("prune", "")
        else:
            self._retry_at = self._clock() + round(min(RETRY_MS, self._interval_ms))

    async def _prove(self, command: str, backup: Backup) -> None:
        # Verifications are frequent, so they take the cheap form; a drill checks everything.
        more = ["--routine"] if command == "verify" else []
        worked = await self._command(command, backup.name, *more, argument=backup.name)
        if not worked and self._told is not None and backup.name in self._told:
            # The failed command has reported the damage already.
            self._told[backup.name] = msgspec.structs.replace(backup.metadata, unsound=TOLD)
        await self.look()

    async def _command(self, command: str, name: str, *options: str, argument: str | None = None) -> bool:
        """Whether `hyperpage backup <command>` worked. If not, the reason goes to `_failures` and `tell`.

        `name` is the backup that the command is about, "" if there is none.
        """
        ran = await run_backup_command(self._settings.data, command, *options, name=argument)
        if ran.succeeded:
            self._failures.pop((command, name), None)
            return True
        reason = f"backup {command} failed: {ran.message}{f' ({ran.hint})' if ran.hint else ''}"
        self._failures[command, name] = reason
        logger.error("%s", reason)
        await self.tell("failed", {"what": command, **({"name": name} if name else {}), "reason": reason})
        return False


def _is_bad(backup: Backup) -> bool:
    """Whether a backup is damaged or forged. An unsigned one may merely be older than the key."""
    return bool(backup.metadata.unsound) or backup.signature.state == "forged"


def _damage(backup: Backup) -> str:
    if backup.signature.state == "forged":
        return f"{backup.name} is forged: who wrote it, or its metadata, has not the key of the store"
    return (
        f"{backup.name} was found to be damaged ({backup.metadata.unsound});"
        " `hyperpage backup verify` says how, `hyperpage backup delete` removes it"
    )
