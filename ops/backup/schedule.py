"""Backups by the clock: made, pruned, verified and proven while the service runs. `BackupSchedule`.

Each step is a process of its own at low priority, the very command that an operator would run: it shares no
lock of Python's with the commands that are waiting, and may take as long as it needs.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal

import msgspec

from ops.backup.metadata import Backup, list_backups
from ops.settings import Settings

# A backup that failed is tried again so soon, or after a whole interval if that is shorter.
RETRY_MS = 5 * 60 * 1000
# Twice the interval without a backup is more than a single one that was late.
STALE_INTERVALS = 2
# Of the backups that are there, so many are verified again and again.
NEWEST = 5
DAY_MS = 24 * 60 * 60 * 1000
# Each of the newest is verified again after a day, each of the others within a month.
VERIFY_NEWEST_AFTER_MS = DAY_MS
VERIFY_AFTER_MS = 28 * DAY_MS
# The first backup of a store comes so soon; a service that dies at its start makes none.
FIRST_AFTER_MS = 60_000
# How often it is looked whether something is due.
LOOK_SECONDS = 15.0
# Behind commands, whose answers somebody waits for.
NICENESS = 10

Change = Literal["started", "completed", "failed", "verified"]

logger = logging.getLogger(__name__)


class BackupState(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with backups. Times are milliseconds since the epoch; `None` where there is none."""

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
    """The backups of a running service. `notify` says what happened to whoever listens."""

    def __init__(
        self,
        settings: Settings,
        *,
        notify: Callable[[Change, dict[str, Any]], Awaitable[None]],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._settings = settings
        self._notify = notify
        self._clock = clock
        self._look_seconds = look_seconds
        self._began = clock()
        self._retry_at = 0
        self._failures: dict[str, str] = {}
        self._unsound: set[str] = set()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def state(self) -> BackupState:
        """How it stands now; reads the folder."""
        backups = list_backups(self._settings.backup_folder)
        last = next(iter(backups), None)
        proven = next((one for one in backups if one.metadata.status == "proven"), None)
        since = self._began if last is None else max(last.metadata.timestamp, self._began)
        return BackupState(
            last=None if last is None else last.name,
            last_at=None if last is None else last.metadata.timestamp,
            last_proven=None if proven is None else proven.name,
            last_proven_at=None if proven is None else proven.metadata.timestamp,
            count=len(backups),
            failure=next(iter(self._failures.values()), None),
            stale=self._interval_ms > 0 and self._clock() - since > STALE_INTERVALS * self._interval_ms,
        )

    async def run(self) -> None:
        """Does what is due, one thing after the other, for ever."""
        try:
            while True:
                await self.do_what_is_due()
                await asyncio.sleep(self._look_seconds)
        finally:
            await self._end_process()

    async def do_what_is_due(self) -> None:
        """Makes a backup if one is due, then prunes; proves and verifies those whose turn it is."""
        backups = await asyncio.to_thread(list_backups, self._settings.backup_folder)
        if self._is_backup_due(backups):
            await self._make()
            backups = await asyncio.to_thread(list_backups, self._settings.backup_folder)
        if (unproven := self._to_prove(backups)) is not None:
            await self._prove("drill", unproven)
        elif (unverified := self._to_verify(backups)) is not None:
            await self._prove("verify", unverified)

    @property
    def _interval_ms(self) -> float:
        return self._settings.backup_interval_minutes * 60_000

    def _is_backup_due(self, backups: list[Backup]) -> bool:
        now = self._clock()
        if self._interval_ms == 0 or now < self._retry_at:
            return False
        if not backups:
            return now - self._began >= min(FIRST_AFTER_MS, self._interval_ms)
        return now - backups[0].metadata.timestamp >= self._interval_ms

    def _to_prove(self, backups: list[Backup]) -> Backup | None:
        hours = self._settings.backup_drill_hours
        if hours == 0 or not backups or backups[0].name in self._unsound:
            return None
        proven_at = max((one.metadata.last_drilled or 0 for one in backups), default=0)
        due = self._clock() - proven_at >= hours * 3_600_000
        return backups[0] if due and backups[0].metadata.status != "proven" else None

    def _to_verify(self, backups: list[Backup]) -> Backup | None:
        """The one that waits longest."""
        if self._interval_ms == 0:
            return None
        now = self._clock()
        due = [
            one
            for place, one in enumerate(backups)
            if one.name not in self._unsound
            and now - one.metadata.last_verified
            >= (VERIFY_NEWEST_AFTER_MS if place < NEWEST else VERIFY_AFTER_MS)
        ]
        return min(due, key=lambda one: one.metadata.last_verified, default=None)

    async def _make(self) -> None:
        await self._notify("started", {})
        answer = await self._command("create", "by the clock")
        if answer is None:
            self._retry_at = self._clock() + round(min(RETRY_MS, self._interval_ms))
            await self._notify("failed", {"what": "create", "reason": self._failures["create"]})
            return
        await self._notify("completed", answer)
        await self._command("prune")

    async def _prove(self, command: str, backup: Backup) -> None:
        answer = await self._command(command, backup.name)
        if answer is None:
            # It is not tried over and over: whoever reads of it decides.
            self._unsound.add(backup.name)
            await self._notify("failed", {"what": command, "reason": self._failures[command]})
        else:
            await self._notify("verified", {"name": backup.name, "status": answer["status"]})

    async def _command(self, command: str, *arguments: str) -> dict[str, Any] | None:
        """The answer of `hyperpage backup <command>`; `None` where it failed, and `_failures` says why."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops.cli", "backup", command, *arguments),
            *("--data", str(self._settings.data), "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        out, err = await self._process.communicate()
        if self._process.returncode == 0:
            self._failures.pop(command, None)
            answer: dict[str, Any] = msgspec.json.decode(out)
            return answer
        lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {self._process.returncode}"]
        self._failures[command] = f"backup {command} failed: {lines[0].removeprefix('error: ')}"
        logger.error("%s", self._failures[command])
        return None

    async def _end_process(self) -> None:
        # What it had begun is no backup, and leaves nothing behind that counts as one.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
