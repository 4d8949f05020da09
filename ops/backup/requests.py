"""The bodies of an operator's requests about backups, and the result of a restore."""

from pathlib import Path
from typing import Annotated

import msgspec

from domain.errors import Invalid, NotFound
from domain.messages import Time
from ops.backup.metadata import find_backup
from ops.backup.restoring.restore import Restored
from ops.backup.restoring.restore_path import Moment
from ops.targets.target import Place, local

BackupName = Annotated[str, msgspec.Meta(pattern=r"^hyperpage-backup-[A-Za-z0-9._-]{1,100}\Z")]


class CreateBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup to make; `description` says what it is for, in the operator's words."""

    description: Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""
    prove: bool = False
    """Whether the backup is also drilled, before it is sealed."""


class NameBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the backups."""

    name: BackupName


class PruneBackups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deletes the backups that no rule keeps; with `dry_run`, only their names are told."""

    dry_run: bool = False


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The moment to restore, and whether the present store is backed up first.

    `prepared` is a folder in the data directory with plain copies of the needed files, if these are
    encrypted. `dry_run` says what would be done, and does nothing.
    """

    backup: str | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    time: Time | None = None
    latest: bool = False
    safety: bool = True
    prepared: str | None = None
    dry_run: bool = False

    @property
    def moment(self) -> Moment:
        return Moment(backup=self.backup, position=self.position, time=self.time, latest=self.latest)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a restore: a result, or an error that left the store as it was."""

    token: str
    result: Restored | None = None
    error: str | None = None
    hint: str = ""


def name_inside(folder: Place, given: str) -> str:
    """The name of a backup in the folder; `given` is that name, or a path inside the folder.

    Raises:
        Invalid: the path lies elsewhere, or is no name of a backup.
        NotFound: there is no such backup.
    """
    name = given.rpartition("/")[2]
    try:
        msgspec.convert(name, BackupName)
    except msgspec.ValidationError:
        raise _elsewhere() from None
    if not isinstance(folder, Path):
        # Not looked up in a bucket, since this must not wait for the network; opening the backup shows
        # whether it is there.
        if given not in (name, f"{folder}/{name}"):
            raise _elsewhere()
        return name
    here = folder.resolve()
    path = folder / name if "/" not in given else Path(given)
    try:
        # Links are resolved first: a link in the folder may lead elsewhere.
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
