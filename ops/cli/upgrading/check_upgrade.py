"""`hyperpage check-upgrade`: tries on a copy what the installed version would make of a store."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from domain.counting import counted
from ops.cli.backup.options import IdentityOption, backup_settings, identities_in, scratch_folder
from ops.cli.stopped import require_store
from ops.cli.terminal.exits import Exit
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import compact, print_result, print_table, shown_progress

if TYPE_CHECKING:
    from ops.progress import Progress
    from ops.settings import Settings


def check_upgrade(
    name: Annotated[
        str | None, Parameter(help="A backup's name or path. Default: the store as it is now.")
    ] = None,
    /,
    *,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tries an upgrade to this version on a copy of the store, or of a backup; nothing is changed.

    For example:

        hyperpage check-upgrade --data /var/lib/hyperpage
        hyperpage check-upgrade hyperpage-backup-20261124T081500000Z.db

    Run it with the new version while the old one still serves. It applies the
    migrations, reads every event, and compares the rows that follow from the
    events with the present ones. It reports rows that would differ, events that
    cannot be read, and how long the upgrade takes. Needs room for a copy of the
    store.

    The exit code is 6 if any row would differ. `hyperpage serve` checks the
    same before it brings a store up to date.
    """
    from migrations.connection import open_writer
    from migrations.schema import require_own_schema
    from ops.backup.scratch import SCRATCH_PREFIX
    from ops.store.upgrade import as_answer, rehearsed
    from ops.version import service_version

    settings = backup_settings(data)
    with (
        understandable(settings.store_path),
        shown_progress() as progress,
        tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=scratch_folder(settings)) as folder,
    ):
        copy = Path(folder) / "hyperpage.db"
        if name is None:
            _copy_store(settings, copy, progress)
        else:
            _copy_backup(name, settings, identity, copy, progress)
        with closing(open_writer(copy)) as connection:
            # No syncing: the copy is deleted afterwards.
            connection.pragma("synchronous", "off")
            require_own_schema(connection, copy.name)
            progress("tables", 0, 1)
            found = rehearsed(connection, Path(folder) / "folded")
    answer = as_answer(found, source=name or "store", version=service_version())
    print_result(answer, as_json, _print)
    return Exit.DONE if found.holds else Exit.VERIFICATION_FAILED


def _copy_store(settings: "Settings", copy: Path, progress: "Progress") -> None:
    from ops.backup.copying import copy_store
    from ops.backup.opening import require_room

    require_store(settings.store_path)
    require_room(copy.parent, settings.store_path.stat().st_size)
    copy.touch(mode=0o600)
    copy_store(settings.store_path, copy, progress)


def _copy_backup(
    name: str, settings: "Settings", identity: Path | None, copy: Path, progress: "Progress"
) -> None:
    from ops.backup.metadata import find_backup
    from ops.backup.opening import require_room
    from ops.backup.verify import verified

    sound = verified(
        find_backup(settings.backup_folder, name),
        identities=identities_in(identity),
        signing=settings.signing,
        scratch=scratch_folder(settings),
        progress=progress,
    )
    with sound as plain:
        require_room(copy.parent, plain.metadata.size)
        shutil.copyfile(plain.path, copy)


def _print(answer: Mapping[str, Any]) -> None:
    for one in answer["migrations"]:
        print(f"migration {one['name']}: {one['seconds']:.1f} s")
    for one in answer["unreadable"]:
        print(
            f"{one['type']}: {counted(one['events'], 'event')} cannot be read, the first at position "
            f"{one['first_position']}: {one['problem']}"
        )
    kinds = ("rows", "missing", "unexpected", "different")
    print_table(
        [{"table": name} | {kind: found[kind] for kind in kinds} for name, found in answer["tables"].items()]
    )
    for name, found in answer["tables"].items():
        for example in found["examples"]:
            print(f"{name} {compact(example)}")
    said = "reads all of it, and makes the same rows" if answer["holds"] else "does not take it for the same"
    print(f"This version ({answer['version']}) {said}, up to position {answer['position']}.")
    if answer["holds"]:
        took = answer["fold_seconds"] + answer["fill_seconds"]
        took += sum(one["seconds"] for one in answer["migrations"])
        print(f"To bring the store up to date takes some {took:.1f} s." if answer["migrations"] else _NOTHING)


_NOTHING = "There is nothing to bring up to date."
