"""Backups of a running service, asked for by an operator: `RunningBackups`.

Verbs that make, prove or delete a backup run the command line in a process of its own, at low priority: it
does not share Python's lock with the commands that wait. Verbs that only read run in the service itself, and
wait for no other backup command.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from bus.serving.administration import AdministrationVerb, NoArguments
from domain.errors import NotFound, Refusal, RuleViolated, Unavailable
from ops.audit.verification import KeptHead
from ops.backup.audit_heads import kept_heads
from ops.backup.metadata import entry_of, list_backups
from ops.backup.own_command import run_backup_command
from ops.backup.requests import CreateBackup, NameBackup, PruneBackups, name_inside
from ops.backup.retention import retained, rules_of, split
from ops.backup.schedule import BackupSchedule
from ops.settings import Settings
from ops.store.troubles import hint_of, message_of
from ops.targets.errors import BackupError

# At most this many backups are listed, the newest ones.
MAXIMUM_LISTED = 1_000


class RunningBackups:
    """Makes, lists, proves and prunes backups while the service runs; one command at a time.

    `schedule` reports the results to its listener.
    """

    def __init__(self, settings: Settings, store_id: str, schedule: BackupSchedule) -> None:
        self._settings = settings
        self._store_id = store_id
        self._schedule = schedule
        self._busy = asyncio.Lock()

    def kept_heads(self) -> Sequence[KeptHead]:
        """The heads of the audit log that the backups keep.

        Raises:
            OSError: the backups cannot be read.
        """
        return kept_heads(self._settings.backup_folder, self._store_id, self._settings.signing)

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The verbs that an operator can ask for."""
        return (
            AdministrationVerb(
                name="backup.list", shape=NoArguments, carry_out=self._list, changes_nothing=True
            ),
            AdministrationVerb(name="backup.create", shape=CreateBackup, carry_out=self._create),
            self._about_one("verify", looks=True),
            self._about_one("drill", looks=True),
            AdministrationVerb(
                name="backup.prune", shape=PruneBackups, carry_out=self._prune, makes_room=True
            ),
            self._about_one("pin"),
            self._about_one("unpin"),
            self._about_one("delete", "--yes", looks=True),
        )

    async def _list(self, _: NoArguments) -> dict[str, Any]:
        try:
            found = await asyncio.to_thread(
                list_backups, self._settings.backup_folder, self._store_id, self._settings.signing
            )
        except OSError as error:
            raise Unavailable(message_of(error), hint=hint_of(error)) from error
        return {"items": [entry_of(one) for one in found[:MAXIMUM_LISTED]]}

    async def _create(self, wish: CreateBackup) -> dict[str, Any]:
        await self._schedule.tell("started", {})
        try:
            answer = await self._command("create", wish.description, *(["--prove"] if wish.prove else []))
        except Refusal as refusal:
            await self._schedule.tell("failed", {"what": "create", "reason": refusal.message})
            raise
        await self._schedule.look()
        return answer

    async def _prune(self, wish: PruneBackups) -> dict[str, Any]:
        return await self._look_at_prune() if wish.dry_run else await self._command("prune", None)

    async def _look_at_prune(self) -> dict[str, Any]:
        """The backups that a prune would delete now. Read here, so it does not wait for a running command."""
        rules, now_ms = rules_of(self._settings), time.time_ns() // 1_000_000
        try:
            kept = await asyncio.to_thread(retained, self._settings, self._store_id, rules, now_ms)
        except BackupError as error:
            raise _failed("prune", error.reason, error.message, error.hint) from error
        except OSError as error:
            raise Unavailable(message_of(error), hint=hint_of(error)) from error
        return split(kept, dry_run=True)

    def _about_one(self, verb: str, *options: str, looks: bool = False) -> AdministrationVerb:
        """The verb that runs `hyperpage backup <verb> NAME`.

        If it `looks`, the schedule looks at the backups afterwards, and reports what changed.
        """

        async def carry_out(wish: NameBackup) -> dict[str, Any]:
            try:
                name = name_inside(self._settings.backup_folder, wish.name)
                return await self._command(verb, name, *options)
            finally:
                if looks:
                    # The command wrote its finding, good or bad, into the backup's metadata.
                    await self._schedule.look()

        return AdministrationVerb(
            name=f"backup.{verb}", shape=NameBackup, carry_out=carry_out, makes_room=verb == "delete"
        )

    async def _command(self, verb: str, argument: str | None, *options: str) -> dict[str, Any]:
        """The answer of `hyperpage backup <verb>`.

        Raises:
            Refusal: the command failed; the refusal has its reason.
        """
        async with self._busy:
            ran = await run_backup_command(self._settings.data, verb, *options, name=argument)
        if ran.succeeded:
            return ran.answer
        reason = ran.answer.get("reason") or ran.answer.get("error", {}).get("code") or "failed"
        if reason == "not_found":
            raise NotFound(ran.message, hint=ran.hint)
        raise _failed(verb, reason, ran.message, ran.hint)


def _failed(verb: str, reason: str, message: str, hint: str) -> RuleViolated:
    return RuleViolated(f"backup_{reason}", f"backup {verb} failed: {message}", hint=hint)
