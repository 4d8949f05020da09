"""`hyperpage backup verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ops.cli.backup.options import (
    IdentityOption,
    NameArgument,
    backup_settings,
    identities_in,
    scratch_folder,
)
from ops.cli.terminal.exits import CommandFailure
from ops.cli.terminal.failures import exit_code_of, understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result
from ops.cli.terminal.progress_bars import shown_progress

if TYPE_CHECKING:
    from ops.targets.errors import BackupError


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
) -> None:
    """Checks all of a backup: its file, its content, and the hash of every event from the first one on.

    For example:

        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db
        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db.zst.age --identity key.txt

    The exit code is 6 if it is not what it was, and 1 if it is encrypted and
    there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.metadata import entry_of, find_backup
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
            raise unsound(error, name) from error
    answer = {"valid": True, "message": "it is as it was", **entry_of(found)}
    print_result(answer, as_json, f"{found.name}: it is as it was (position {found.metadata.position})")


def unsound(error: "BackupError", name: str) -> CommandFailure:
    """The failure with which `verify` and `drill` report a backup that is not sound."""
    # An encrypted one that cannot be read may be sound or not.
    valid = None if error.reason == "encrypted" else False
    answer = {"valid": valid, "message": error.message, "reason": error.reason, "name": Path(name).name}
    described = {"code": error.reason, "message": error.message, "hint": error.hint, "details": {}}
    return CommandFailure(exit_code_of(error), described, answer=answer)
