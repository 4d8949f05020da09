"""`hyperpage backup restore`: restores an earlier state of the store, with or without a running service."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from ops.cli.asking import administer
from ops.cli.backup.options import IdentityOption, backup_settings, identities_in
from ops.cli.stopped import free_directory
from ops.cli.terminal.exits import CommandFailure, Exit, failure, unreachable, usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.moments import milliseconds
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_members, print_result, say, shown_progress
from ops.cli.terminal.recording import recorded
from ops.store.data_directory import Runtime, read_runtime

if TYPE_CHECKING:
    from ops.backup.restoring.restore_path import Moment
    from ops.progress import Progress
    from ops.settings import Settings
    from ops.targets.sealing import Identities

ACCEPT_SECONDS = 30.0
# The time to wait for a restore; a terabyte takes long. Ctrl-C ends the waiting, not the restore.
RESTORE_SECONDS = 24 * 3600.0
POLL_SECONDS = 0.2


def restore(
    name: Annotated[
        str | None, Parameter(help="The backup's name or path. Default: the nearest to the moment.")
    ] = None,
    /,
    *,
    to_position: Annotated[int | None, option("The last position that the store is to have.")] = None,
    to_time: Annotated[
        str | None,
        option("The moment to go back to: 2026-11-24T08:15:00Z, or milliseconds since 1970."),
    ] = None,
    latest: Annotated[
        bool,
        option("Everything that is left in backups, archive and a damaged or lost store."),
    ] = False,
    dry_run: Annotated[bool, option("Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, option("Yes, replace the store.")] = False,
    no_safety_backup: Annotated[bool, option("Do not make a backup of the present store first.")] = False,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts the store back to what it was, on a new timeline.

    For example:

        hyperpage backup restore --to-time 2026-11-24T08:15:00Z --dry-run
        hyperpage backup restore --to-time 2026-11-24T08:15:00Z --yes
        hyperpage backup restore hyperpage-backup-20261124T081500000Z.db --yes

    The backup is checked first, and the present store is backed up. The
    restored store is made beside the present one and replaces it at the end: if
    anything goes wrong before, the present store stays as it is. A running
    service drains, restores and goes on.
    """
    from ops.backup.restoring.plan import plan_restore
    from ops.backup.restoring.preparing import require_readable

    moment = _moment(name, to_position, to_time, latest)
    settings = backup_settings(data)
    identities = identities_in(identity)
    if dry_run:
        with understandable(), shown_progress() as progress:
            plan = plan_restore(settings.places, moment, identities=identities, check=True, progress=progress)
        print_result(plan, as_json, _print)
        return
    if not yes:
        raise usage_failure("this replaces the store", "see what it would do with --dry-run, then say --yes")
    # Checked before anything is done: a mistyped name or directory must not create files, nor take long.
    with understandable():
        require_readable(settings.places, moment, identities)
    with understandable(), free_directory(settings) as in_use:
        if in_use is None:
            wish = {**msgspec.to_builtins(moment), "safety": not no_safety_backup}
            with recorded(settings, "backup.restore", wish) as said:
                done = _restore_stopped(settings, moment, not no_safety_backup, identities)
                said |= {"restored_to": done.position, "timeline_now": done.timeline}
        else:
            done = _restore_running(data, moment, not no_safety_backup, identities)
    print_result(done, as_json, _print)


def _moment(name: str | None, position: int | None, at: str | None, latest: bool) -> "Moment":
    from ops.backup.restoring.restore_path import Moment

    if sum((position is not None, at is not None, latest)) > 1:
        raise usage_failure("to a position, to a time, or to the latest: only one of them")
    return Moment(
        # An absolute path, since the service has another working directory.
        backup=str(Path(name).absolute()) if name is not None and os.sep in name else name,
        position=position,
        time=None if at is None else milliseconds(at),
        latest=latest,
    )


def _restore_stopped(settings: "Settings", moment: "Moment", safety: bool, identities: "Identities") -> Any:
    from ops.backup.restoring.restore import restore as carry_out
    from ops.backup.restoring.stopped_stream import highest_timeline_in_stream
    from ops.version import service_version

    highest = highest_timeline_in_stream(settings)
    with shown_progress() as progress:
        return carry_out(
            settings.places,
            moment,
            version=service_version(),
            safety=safety,
            highest_timeline=highest,
            identities=identities,
            progress=progress,
        )


def _restore_running(
    data: Path | None, moment: "Moment", safety: bool, identities: "Identities"
) -> dict[str, Any]:
    """The answer of the running service. It has no key, so this command decrypts the files that it needs.

    Raises:
        CommandFailure: the service refused, could not restore, or did not come back.
    """
    from ops.backup.restoring.preparing import prepare
    from ops.backup.scratch import SCRATCH_PREFIX

    settings = settings_for(data)
    request = {**msgspec.to_builtins(moment), "safety": safety}
    if not identities:
        return _ask_to_restore(data, request)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=settings.data) as folder:
        with understandable(), shown_progress() as progress:
            ready = prepare(settings.places, moment, Path(folder), identities, progress=progress)
        moved = {**msgspec.to_builtins(ready.moment), "prepared": Path(folder).name}
        done = _ask_to_restore(data, {**request, **moved})
        # The service knows only the copy, so the backup's own name is put in.
        begins_with = ready.begins_with if Path(folder).name in done["backup"] else done["backup"]
        passed_over = {**ready.passed_over, **done["passed_over"]}
        return {**done, "backup": begins_with, "passed_over": passed_over, "signatures": ready.signatures}


def _ask_to_restore(data: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    accepted = administer("backup.restore", request, data, timeout_seconds=ACCEPT_SECONDS)
    say("accepted; the service drains, restores and goes on")
    runtime = read_runtime(settings_for(data).data)
    with shown_progress() as progress:
        return _end_of_restore(data, accepted["token"], runtime, progress)


def _end_of_restore(
    data: Path | None, token: str, runtime: Runtime | None, progress: "Progress"
) -> dict[str, Any]:
    deadline = time.monotonic() + RESTORE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        progress("restore", 0, 0)
        if runtime is not None and not _is_alive(runtime.pid):
            raise unreachable(
                "the service ended while it restored",
                "start it: the first lines of its log say whether it has the old store or the new one",
            )
        try:
            ended = administer("backup.restored", {}, data, timeout_seconds=ACCEPT_SECONDS)
        except CommandFailure as error:
            # The service is away while it restores.
            if error.exit_code is not Exit.UNREACHABLE:
                raise
            continue
        # The answer is empty before the first restore ends, or is about an earlier one.
        if not ended or ended["token"] != token:
            continue
        if ended["error"] is not None:
            raise failure(Exit.FAILED, "failed", ended["error"], ended["hint"])
        return dict(ended["result"])
    raise unreachable(
        f"the service did not come back within {RESTORE_SECONDS:.0f} s",
        "see its log; it may still be restoring",
    )


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _print(result: Any) -> None:
    members = msgspec.to_builtins(result)
    print_members({**members, "passed_over": members["passed_over"] or None})
