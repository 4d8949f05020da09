"""`hyperpage backup list`."""

from typing import TYPE_CHECKING, Any

from ops.cli.backup.options import backup_settings
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import print_records, print_result, say, size_text

if TYPE_CHECKING:
    from ops.backup.metadata import Backup


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the backups, newest first. `good` ones were checked, `proven` ones restored and compared.

    For example:

        hyperpage backup list
    """
    from ops.backup.metadata import damaged_backups, entry_of, list_backups

    folder = backup_settings(data).backup_folder
    with understandable():
        found, damaged = list_backups(folder), list(damaged_backups(folder))
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
        "description": metadata.description or None,
    }
