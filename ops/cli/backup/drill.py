"""`hyperpage backup drill`."""

from typing import Annotated

from cyclopts import Parameter

from ops.cli.backup.options import IdentityOption, backup_settings, identities_in, scratch_folder
from ops.cli.backup.verify import unsound
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import print_result
from ops.cli.terminal.progress_bars import shown_progress


def drill(
    name: Annotated[str | None, Parameter(help="The backup's name or path. Default: the newest.")] = None,
    /,
    *,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Proves a backup: makes a store from it in a scratch folder, folds its log and compares every row.

    For example:

        hyperpage backup drill
        hyperpage backup drill hyperpage-backup-20261124T081500000Z.db

    The exit code is 6 if the store cannot be had from it, and 1 if it is
    encrypted and there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.drill import drill as carry_out
    from ops.backup.metadata import entry_of, find_backup, list_backups
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
            raise unsound(error, name or "") from error
    answer = {"valid": True, "message": "a store made from it is the same", **entry_of(proven)}
    print_result(answer, as_json, f"{proven.name}: proven; a store made from it is the same")
