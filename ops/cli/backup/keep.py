"""`hyperpage backup create`, `list`, `prune`, `pin`, `unpin`, `delete`: makes, lists and deletes backups."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ops.cli.backup.options import NameArgument, backup_settings
from ops.cli.stopped import require_store
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_records, print_result, say, shown_progress, size_text
from ops.cli.terminal.recording import recorded

if TYPE_CHECKING:
    from ops.backup.metadata import Backup
    from ops.backup.retention import Rules
    from ops.settings import Settings


def create(
    description: Annotated[str, Parameter(help="The backup's purpose, in your words.")] = "",
    /,
    *,
    prove: Annotated[bool, option("Drill it before it is encrypted, while that needs no key.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a backup and checks it. A running service goes on meanwhile.

    For example:

        hyperpage backup create
        hyperpage backup create "before the upgrade" --prove

    The backup is compressed as HYPERPAGE_BACKUP_COMPRESSION says, and encrypted
    to the public keys in HYPERPAGE_ENCRYPT_TO.
    """
    from ops.backup.create import create_backup
    from ops.backup.drill import prove as carry_out
    from ops.targets.target import address
    from ops.version import service_version

    settings = backup_settings(data)
    require_store(settings.store_path)
    with (
        understandable(),
        recorded(settings, "backup.create", {"description": description}) as said,
        shown_progress() as progress,
    ):
        made = create_backup(
            settings.store_path,
            settings.backup_folder,
            description=description,
            version=service_version(),
            sealing=settings.sealing,
            signing=settings.signing,
            prove=carry_out if prove else None,
            progress=progress,
        )
        said["name"] = made.name
    size, done = size_text(made.metadata.size), "proven" if prove else "checked"
    print_result(
        {
            "path": address(made.place),
            "metadata": made.metadata,
            "signature": made.signature.state,
            "signed_by": made.signature.key,
        },
        as_json,
        f"{made.place}: position {made.metadata.position}, {size}, {done}, {made.signature}",
    )


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the backups, newest first. `good` ones were checked, `proven` ones restored and compared.

    For example:

        hyperpage backup list
    """
    from ops.backup.metadata import entry_of, look_for_backups

    settings = backup_settings(data)
    folder = settings.backup_folder
    with understandable():
        found, damaged = look_for_backups(folder, signing=settings.signing)
    print_result(
        [entry_of(one) for one in found],
        as_json,
        lambda _: print_records([_line(one) for one in found], if_none=f"There is no backup in {folder}."),
    )
    for path, error in damaged:
        say(f"{path.name} is no backup: {error.message}")


def _line(backup: "Backup") -> dict[str, Any]:
    metadata = backup.metadata
    return {
        "name": backup.name,
        "made_at": metadata.timestamp,
        "status": metadata.status,
        "position": metadata.position,
        "timeline": metadata.timeline,
        "size": size_text(metadata.size),
        "signature": backup.signature.short(),
        "description": metadata.description or None,
    }


# The hint for a backup that the archive needs: without it, some archived moments are out of reach.
_NEEDED = "nothing was deleted: it goes by itself once what needs it has gone (`hyperpage backup prune`)"
_HOW_TO_LET_GO = {
    "pinned": "`hyperpage backup unpin` lets it go",
    "the newest": "make another one first",
    "the newest proven one": "prove another one first: `hyperpage backup drill`",
}


def prune(
    *,
    dry_run: Annotated[bool, option("Say which backups would go, and delete nothing.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deletes the backups that no rule keeps. The service does so after each backup that it makes.

    For example:

        hyperpage backup prune --dry-run
        hyperpage backup prune

    The rules keep the backups of the last HYPERPAGE_BACKUP_RETENTION_DAYS days
    (30); the last one of each hour, day, week and month, for as many of these as
    HYPERPAGE_BACKUP_KEEP_HOURLY, _DAILY, _WEEKLY and _MONTHLY say; the newest
    ones and the newest proven ones, as many as HYPERPAGE_BACKUP_KEEP_NEWEST says
    (3); pinned ones; and those without which some moments in the archive could
    not be restored.
    """
    from ops.backup.retention import remove, rules_of, split
    from ops.targets.target import KeptFile

    settings = backup_settings(data)
    with understandable():
        kept = _retained(settings, rules_of(settings))
        answer = split(kept, dry_run=dry_run)
        if (gone := answer["removed"]) and not dry_run:
            with recorded(settings, "backup.prune", {"removed": gone}, anyway=True):
                for name in gone:
                    remove(KeptFile(settings.backup_folder / name))
    done = "would go" if dry_run else "deleted"
    lines = [{"name": name, "kept": why or done} for name, why in kept.items()]
    if_none = f"There is no backup in {settings.backup_folder}."
    print_result(answer, as_json, lambda _: print_records(lines, if_none=if_none))


def pin(name: NameArgument, /, *, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Keeps a backup for good, whatever the rules of retention say.

    For example:

        hyperpage backup pin hyperpage-backup-20261124T081500000Z.db
    """
    _set_pinned(name, True, data, as_json)


def unpin(name: NameArgument, /, *, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Leaves a backup to the rules of retention again.

    For example:

        hyperpage backup unpin hyperpage-backup-20261124T081500000Z.db
    """
    _set_pinned(name, False, data, as_json)


def delete(
    name: NameArgument,
    /,
    *,
    yes: Annotated[bool, option("Yes, delete it for good.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deletes one backup, for instance a damaged or unfinished one.

    For example:

        hyperpage backup delete hyperpage-backup-20261124T081500000Z.db --yes

    Some backups cannot be deleted, whatever the rules say: pinned ones, the
    newest sound one, the newest proven one, and those without which some
    moments in the archive could not be restored.
    """
    from ops.backup.metadata import PREFIX, find_backup, list_backups
    from ops.backup.retention import Rules, remove
    from ops.targets.errors import BackupError
    from ops.targets.target import KeptFile

    settings = backup_settings(data)
    with understandable():
        place = find_backup(settings.backup_folder, name)
        if not place.name.startswith(PREFIX):
            raise usage_failure(f"{place.name} is no backup")
        kept = _retained(settings, Rules(days=0))
        others = {one.name for one in list_backups(settings.backup_folder)} - kept.keys()
        if place.name in others:
            raise BackupError(
                "foreign", f"{place.name} is of another store", "it is not this one's to delete"
            )
        if (why := kept.get(place.name)) is not None:
            raise failure(
                Exit.FAILED, "kept", f"{place.name} is kept: {why}", _HOW_TO_LET_GO.get(why, _NEEDED)
            )
        if not yes:
            raise usage_failure(f"this deletes {place}", "say --yes")
        with recorded(settings, "backup.delete", {"name": place.name}, anyway=True):
            remove(KeptFile(place))
    print_result({"deleted": place.name}, as_json, f"{place.name}: deleted")


def _retained(settings: "Settings", rules: "Rules") -> dict[str, str | None]:
    """Why each of the store's backups is kept, by its name."""
    from ops.backup.content import store_id_of
    from ops.backup.retention import retained

    store_id = store_id_of(settings.store_path)
    if store_id is None:
        # The folder may have backups of other stores, which cannot be told apart without the store's id.
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"there is no store in {settings.data} that could be read",
            "nothing was deleted: it is not known which backups are its own",
        )
    return retained(settings, store_id, rules, time.time_ns() // 1_000_000)


def _set_pinned(name: str, pinned: bool, data: Path | None, as_json: bool) -> None:
    from ops.backup.metadata import entry_of, find_backup, update_metadata

    settings = backup_settings(data)
    with understandable():
        place = find_backup(settings.backup_folder, name)
        with recorded(settings, "backup.pin" if pinned else "backup.unpin", {"name": place.name}):
            changed = update_metadata(place, settings.signing, pinned=pinned)
    what = "kept for good" if pinned else "left to the rules of retention"
    print_result(entry_of(changed), as_json, f"{changed.name}: {what}")
