"""`hyperpage cluster reseed`: asks the next start to make a member's file anew."""

from typing import Annotated

from ops.cli.stopped import require_store, stopped_directory
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result
from ops.cli.terminal.recording import recorded


def reseed(
    *,
    yes: Annotated[bool, option("Yes, give up the file of this service.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes the next start replace the store's file with one that has the events of the cluster's log.

    For example:

        hyperpage cluster reseed --yes --data /var/lib/hyperpage

    It is for a file that has other events than the log. The service must be
    stopped. The next start makes a new file from the newest backup that it can
    reach, the archive and the log. The old file stays in its place until then,
    and is then kept under another name, since it may have events that are
    nowhere else; the start names their positions.
    """
    from ops.backup.restoring.present import read_present
    from ops.store.reseeding import ask_reseed

    if not yes:
        raise usage_failure(
            "this gives up the store's file for what the log of the cluster says", "say --yes"
        )
    settings = settings_for(data)
    require_store(settings.store_path)
    with stopped_directory(settings), understandable(settings.store_path):
        present = read_present(settings.store_path)
        if present is None or present.head is None:
            raise failure(
                Exit.FAILED,
                "damaged",
                f"{settings.store_path} cannot be read",
                "move it out of the directory, and whatever begins with its name: the next start makes it",
            )
        with recorded(settings, "cluster.reseed", {"position": present.head.position}):
            ask_reseed(settings.data, present.head)
    print_result(
        {"position": present.head.position},
        as_json,
        f"The next start makes {settings.store_path.name} anew, and keeps the old one, which ends at position"
        f" {present.head.position}.",
    )
