"""`hyperpage backup create`."""

from typing import Annotated

from cyclopts import Parameter

from ops.cli.backup.options import backup_settings
from ops.cli.stopped import require_store
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result, size_text
from ops.cli.terminal.progress_bars import shown_progress


def create(
    description: Annotated[str, Parameter(help="What it is for, in your words.")] = "",
    /,
    *,
    prove: Annotated[bool, option("Drill it, too, before it is sealed: while it needs no key.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
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
    size, done = size_text(made.metadata.size), "proven" if prove else "checked"
    print_result(
        {"path": address(made.place), "metadata": made.metadata},
        as_json,
        f"{made.place}: position {made.metadata.position}, {size}, {done}",
    )
