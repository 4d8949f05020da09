"""Backups of a running service, asked for by an operator: `RunningBackups`.

Making and proving one is the command line's own work, in a process of its own at low priority: it shares no
lock of Python's with the commands that are waiting.
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bus.administration import AdministrationVerb
from domain.errors import Invalid, NotFound, RuleViolated, Unavailable
from ops.backup.metadata import find_backup, list_backups
from ops.backup.running import NoArguments
from ops.backup.schedule import NICENESS
from ops.settings import Settings
from ops.targets.bucket import BucketError
from ops.targets.target import Place, address, local

# So many are listed, the newest.
MAXIMUM_LISTED = 1_000

BackupName = Annotated[str, msgspec.Meta(pattern=r"^hyperpage-backup-[A-Za-z0-9._-]{1,100}\Z")]


class CreateBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it is for, in the operator's words."""

    description: Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""


class NameBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the backups."""

    name: BackupName


class RunningBackups:
    """Makes, lists and proves backups while the service runs; one at a time."""

    def __init__(self, settings: Settings, store_id: str) -> None:
        self._settings = settings
        self._store_id = store_id
        self._busy = asyncio.Lock()

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """What an operator can ask for."""
        return (
            AdministrationVerb(
                name="backup.list", shape=NoArguments, carry_out=self._list, changes_nothing=True
            ),
            AdministrationVerb(name="backup.create", shape=CreateBackup, carry_out=self._create),
            AdministrationVerb(name="backup.verify", shape=NameBackup, carry_out=self._verify),
            AdministrationVerb(name="backup.drill", shape=NameBackup, carry_out=self._drill),
        )

    async def _list(self, _: NoArguments) -> dict[str, Any]:
        try:
            found = await asyncio.to_thread(list_backups, self._settings.backup_folder, self._store_id)
        except BucketError as error:
            raise Unavailable(str(error)) from error
        return {
            "items": [
                {
                    "name": one.name,
                    "path": address(one.place),
                    "status": one.metadata.status,
                    "metadata": one.metadata,
                }
                for one in found[:MAXIMUM_LISTED]
            ]
        }

    async def _create(self, wish: CreateBackup) -> dict[str, Any]:
        return await self._command("create", wish.description)

    async def _verify(self, wish: NameBackup) -> dict[str, Any]:
        return await self._command("verify", self._known(wish.name))

    async def _drill(self, wish: NameBackup) -> dict[str, Any]:
        return await self._command("drill", self._known(wish.name))

    def _known(self, name: str) -> str:
        return name_inside(self._settings.backup_folder, name)

    async def _command(self, verb: str, argument: str) -> dict[str, Any]:
        """The answer of `hyperpage backup <verb>`.

        Raises:
            Refusal: it failed, and said why.
        """
        async with self._busy:
            process = await asyncio.create_subprocess_exec(
                # Not what lies in the working directory under the name of a package of ours.
                *(sys.executable, "-P", "-m", "ops.cli", "backup", verb),
                *("--data", str(self._settings.data), "--json", "--", argument),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": _with_ours(os.environ.get("PYTHONPATH"))},
            )
            try:
                with suppress(ProcessLookupError, PermissionError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
                out, err = await process.communicate()
            finally:
                # What it had begun is no backup, and leaves nothing behind that counts as one.
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.terminate()
                    await process.wait()
        answer = _decoded(out)
        if process.returncode == 0:
            return answer
        lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        reason = answer.get("reason") or answer.get("error", {}).get("code") or "failed"
        if reason == "not_found":
            raise NotFound(lines[0].removeprefix("error: "))
        raise RuleViolated(f"backup_{reason}", f"backup {verb} failed: {lines[0].removeprefix('error: ')}")


def name_inside(folder: Place, given: str) -> str:
    """The name of a backup in the folder that is named by its name, or by a path inside the folder.

    Raises:
        Invalid: it lies elsewhere, or is no name of a backup.
        NotFound: there is none.
    """
    name = given.rpartition("/")[2]
    try:
        msgspec.convert(name, BackupName)
    except msgspec.ValidationError:
        raise _elsewhere() from None
    if not isinstance(folder, Path):
        # Whether it is there, is said by whoever opens it: this must not wait for a network.
        if given not in (name, f"{folder}/{name}"):
            raise _elsewhere()
        return name
    here = folder.resolve()
    path = folder / name if "/" not in given else Path(given)
    try:
        # Also where a link in the folder leads.
        if path.resolve().parent != here:
            raise _elsewhere()
        if not local(find_backup(here, name)).is_file():
            raise NotFound(f"there is no backup {name}")
    except (OSError, ValueError):
        raise _elsewhere() from None
    except RuntimeError:
        raise NotFound(f"there is no backup {name}") from None
    return name


def _elsewhere() -> Invalid:
    return Invalid("it is a backup's name, or a path inside the folder of the backups", path="$.backup")


def _decoded(out: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(out, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _with_ours(path: str | None) -> str:
    """Where the packages of this very program are, before everything else."""
    ours = str(Path(__file__).parents[2])
    return ours if not path else f"{ours}{os.pathsep}{path}"
