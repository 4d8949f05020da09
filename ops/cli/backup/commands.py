"""`hyperpage backup`: proven copies of the store, and the way back from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ops.cli.backup.keep import delete, pin, prune, unpin
from ops.cli.backup.key import new_key
from ops.cli.backup.restore import restore
from ops.cli.backup.shared import (
    IdentityOption,
    NameArgument,
    backup_settings,
    entry_of,
    exit_code_of,
    identities_in,
    scratch_folder,
    understandable,
)
from ops.cli.stopped import require_store
from ops.cli.terminal.exits import CommandFailure, Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_json, print_table, say
from ops.cli.terminal.progress_bars import shown_progress

if TYPE_CHECKING:
    from ops.backup.metadata import Backup
    from ops.targets.errors import BackupError


def backup() -> App:
    """The commands around backups."""
    app = App(name="backup", help="Makes proven copies of the store, and brings them back.")
    app.command(create, name="create")
    app.command(list_all, name="list")
    app.command(verify, name="verify")
    app.command(drill, name="drill")
    app.command(verify_archive, name="verify-archive")
    app.command(prune, name="prune")
    app.command(pin, name="pin")
    app.command(unpin, name="unpin")
    app.command(delete, name="delete")
    app.command(restore, name="restore")
    app.command(new_key, name="new-key")
    return app


def create(
    description: Annotated[str, Parameter(help="What it is for, in your words.")] = "",
    /,
    *,
    prove: Annotated[bool, option("Drill it, too, before it is sealed: while it needs no key.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Makes a backup and checks it; also while the service runs, which it does not hold up.

    For example:

        hyperpage backup create
        hyperpage backup create "before the upgrade" --prove

    It is compressed as HYPERPAGE_BACKUP_COMPRESSION says, and encrypted to
    the public keys in HYPERPAGE_ENCRYPT_TO.
    """
    from ops.backup.create import create_backup
    from ops.backup.drill import prove as carry_out
    from ops.targets.target import address
    from ops.version import service_version

    settings = backup_settings(data)
    require_store(settings.store_path)
    with understandable(), shown_progress() as progress:
        made = create_backup(
            settings.store_path,
            settings.backup_folder,
            description=description,
            version=service_version(),
            sealing=settings.sealing,
            prove=carry_out if prove else None,
            progress=progress,
        )
    if as_json:
        print_json({"path": address(made.place), "metadata": made.metadata})
    else:
        done = "proven" if prove else "checked"
        print(f"{made.place}: position {made.metadata.position}, {_size(made.metadata.size)}, {done}")
    return Exit.DONE


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Lists the backups, newest first. `good` ones were checked, `proven` ones restored and compared.

    For example:

        hyperpage backup list
    """
    from ops.backup.metadata import damaged_backups, list_backups

    folder = backup_settings(data).backup_folder
    with understandable():
        found, damaged = list_backups(folder), list(damaged_backups(folder))
    if as_json:
        print_json([entry_of(one) for one in found])
    elif found:
        print_table([_line(one) for one in found])
    else:
        say(f"There is no backup in {folder}.")
    for path, error in damaged:
        say(f"{path.name} is no backup: {error.message}")
    return Exit.DONE


def verify(
    name: NameArgument,
    /,
    *,
    identity: IdentityOption = None,
    routine: Annotated[
        bool,
        option(
            "What the service does by itself: the hashes only from where the check at its creation began; of"
            " what is encrypted, size and checksum."
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Checks all of a backup: its file, its content, and the hash of every event from the first one on.

    For example:

        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db
        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db.zst.age --identity key.txt

    The exit code is 6 if it is not what it was, and 1 if it is encrypted and
    there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.metadata import find_backup
    from ops.backup.routine import verify_by_routine, verify_whole
    from ops.targets.errors import BackupError

    settings = backup_settings(data)
    identities = identities_in(identity)
    with understandable(), shown_progress() as progress:
        try:
            place = find_backup(settings.backup_folder, name)
            store_id = store_id_of(settings.store_path)
            if routine:
                found = verify_by_routine(place, store_id, progress)
            else:
                found = verify_whole(place, store_id, identities, scratch_folder(settings), progress)
        except BackupError as error:
            raise _unsound(error, name) from error
    if as_json:
        print_json({"valid": True, "message": "it is as it was", **entry_of(found)})
    else:
        print(f"{found.name}: it is as it was (position {found.metadata.position})")
    return Exit.DONE


def drill(
    name: Annotated[str | None, Parameter(help="The backup's name or path. Default: the newest.")] = None,
    /,
    *,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Proves a backup: makes a store from it in a scratch folder, folds its log and compares every row.

    For example:

        hyperpage backup drill
        hyperpage backup drill hyperpage-backup-20261124T081500000Z.db

    The exit code is 6 if the store cannot be had from it, and 1 if it is
    encrypted and there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.drill import drill as carry_out
    from ops.backup.metadata import find_backup, list_backups
    from ops.targets.errors import BackupError

    settings = backup_settings(data)
    folder, identities = settings.backup_folder, identities_in(identity)
    with understandable(), shown_progress() as progress:
        newest = next(iter(list_backups(folder, store_id_of(settings.store_path))), None)
        if name is None and newest is None:
            raise failure(Exit.NOT_FOUND, "not_found", f"there is no backup in {folder}")
        try:
            place = find_backup(folder, name) if name is not None else newest.place  # type: ignore[union-attr]
            scratch = scratch_folder(settings)
            proven = carry_out(place, identities=identities, scratch=scratch, progress=progress)
        except BackupError as error:
            raise _unsound(error, name or "") from error
    if as_json:
        print_json({"valid": True, "message": "a store made from it is the same", **entry_of(proven)})
    else:
        print(f"{proven.name}: proven; a store made from it is the same")
    return Exit.DONE


def verify_archive(
    *, identity: IdentityOption = None, data: DataOption = None, as_json: JsonOption = False
) -> int:
    """Reads all of the archive, and says which segments are damaged, and where events are missing.

    For example:

        hyperpage backup verify-archive
        hyperpage backup verify-archive --identity backup-key.txt

    Also while the service runs, which does it once a week. Without a key,
    encrypted segments are compared by their checksums. The exit code is 6 if
    anything is not what it was.
    """
    from ops.archive.verify import verify_archive as carry_out

    settings = backup_settings(data)
    identities = identities_in(identity)
    with understandable(), shown_progress() as progress:
        report = carry_out(settings.archive_folder, identities, progress=progress)
    answer = {"valid": report.is_sound, **msgspec.to_builtins(report)}
    if not report.is_sound:
        damage = "; ".join(report.damage.values())
        hint = (
            "the service writes a segment anew from its log if the damaged file is moved away and the service"
            " is started again"
        )
        described = {"code": "segment_damaged", "message": damage, "hint": hint, "details": {}}
        raise CommandFailure(Exit.VERIFICATION_FAILED, described, answer=answer)
    if as_json:
        print_json(answer)
    else:
        how = f" ({report.unread} encrypted, by their checksums)" if report.unread else ""
        print(f"{settings.archive_folder}: {report.segments} segments, as they were written{how}")
    return Exit.DONE


def _line(backup: "Backup") -> dict[str, Any]:
    metadata = backup.metadata
    return {
        "name": backup.name,
        "made_at": metadata.timestamp,
        "status": metadata.status,
        "position": metadata.position,
        "timeline": metadata.timeline,
        "size": _size(metadata.size),
        "description": metadata.description or None,
    }


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _unsound(error: "BackupError", name: str) -> CommandFailure:
    # Whether one is sound that cannot be read, is not known.
    valid = None if error.reason == "encrypted" else False
    answer = {"valid": valid, "message": error.message, "reason": error.reason, "name": Path(name).name}
    described = {"code": error.reason, "message": error.message, "hint": error.hint, "details": {}}
    return CommandFailure(exit_code_of(error), described, answer=answer)
