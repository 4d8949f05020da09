"""`hyperpage backup`: proven copies of the store, and the way back from them."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ops.cli_bus import administer
from ops.cli_exit import CommandFailure, Exit, failure, unreachable, usage_failure
from ops.cli_options import DataOption, JsonOption, option, settings_for
from ops.cli_output import print_json, print_members, print_table, say
from ops.cli_progress import shown_progress
from ops.cli_store import require_store
from ops.data_directory import DataDirectory, DirectoryInUseError, read_runtime

if TYPE_CHECKING:
    from ops.backup.metadata import Backup, BackupError
    from ops.backup.way import Moment
    from ops.settings import Settings

ACCEPT_SECONDS = 30.0
# A terabyte takes a while; whoever waits can end waiting, and the restore goes on.
RESTORE_SECONDS = 24 * 3600.0
POLL_SECONDS = 0.2

NameArgument = Annotated[str, Parameter(help="The backup's name, or a path to its file.")]


def backup() -> App:
    """The commands around backups."""
    app = App(name="backup", help="Makes proven copies of the store, and brings them back.")
    app.command(create, name="create")
    app.command(list_all, name="list")
    app.command(verify, name="verify")
    app.command(drill, name="drill")
    app.command(prune, name="prune")
    app.command(pin, name="pin")
    app.command(unpin, name="unpin")
    app.command(restore, name="restore")
    return app


def create(
    description: Annotated[str, Parameter(help="What it is for, in your words.")] = "",
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Makes a backup and checks it; also while the service runs, which it does not hold up.

    For example:

        hyperpage backup create
        hyperpage backup create "before the upgrade"
    """
    from ops.backup.create import create_backup
    from ops.service import service_version

    settings = settings_for(data)
    require_store(settings.store_path)
    with _understandable(), shown_progress() as progress:
        made = create_backup(
            settings.store_path,
            settings.backup_folder,
            description=description,
            version=service_version(),
            progress=progress,
        )
    if as_json:
        print_json({"path": str(made.path.absolute()), "metadata": made.metadata})
    else:
        print(f"{made.path}: position {made.metadata.position}, {_size(made.metadata.size)}, checked")
    return Exit.DONE


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Lists the backups, newest first. `good` ones were checked, `proven` ones restored and compared.

    For example:

        hyperpage backup list
    """
    from ops.backup.metadata import damaged_backups, list_backups

    folder = settings_for(data).backup_folder
    found = list_backups(folder)
    if as_json:
        print_json([_entry(one) for one in found])
    elif found:
        print_table([_line(one) for one in found])
    else:
        say(f"There is no backup in {folder}.")
    for path, error in damaged_backups(folder):
        say(f"{path.name} is no backup: {error.message}")
    return Exit.DONE


def verify(
    name: NameArgument,
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Checks all of a backup: its file, its content, and the hash of every event from the first one on.

    For example:

        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db

    The exit code is 6 if it is not what it was.
    """
    from ops.backup.content import store_id_of
    from ops.backup.metadata import BackupError, find_backup
    from ops.backup.verify import mark_verified, verify_backup

    settings = settings_for(data)
    try:
        with shown_progress() as progress:
            path = find_backup(settings.backup_folder, name)
            found = mark_verified(
                verify_backup(path, store_id=store_id_of(settings.store_path), progress=progress)
            )
    except BackupError as error:
        raise _unsound(error, name) from error
    if as_json:
        print_json({"valid": True, "message": "all of it is as it was", **_entry(found)})
    else:
        print(f"{found.name}: all of it is as it was (position {found.metadata.position})")
    return Exit.DONE


def drill(
    name: Annotated[str | None, Parameter(help="The backup's name or path. Default: the newest.")] = None,
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Proves a backup: makes a store from it in a scratch folder, folds its log and compares every row.

    For example:

        hyperpage backup drill
        hyperpage backup drill hyperpage-backup-20261124T081500000Z.db

    The exit code is 6 if the store cannot be had from it.
    """
    from ops.backup.drill import drill as carry_out
    from ops.backup.metadata import BackupError, find_backup, list_backups

    folder = settings_for(data).backup_folder
    newest = next(iter(list_backups(folder)), None)
    if name is None and newest is None:
        raise failure(Exit.NOT_FOUND, "not_found", f"there is no backup in {folder}")
    try:
        path = find_backup(folder, name) if name is not None else newest.path  # type: ignore[union-attr]
        with shown_progress() as progress:
            proven = carry_out(path, progress=progress)
    except BackupError as error:
        raise _unsound(error, name or "") from error
    if as_json:
        print_json({"valid": True, "message": "a store made from it is the same", **_entry(proven)})
    else:
        print(f"{proven.name}: proven; a store made from it is the same")
    return Exit.DONE


def prune(
    *,
    dry_run: Annotated[bool, option("Say what would go, and delete nothing.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Deletes the backups that no rule keeps. The service does so after each backup that it makes.

    For example:

        hyperpage backup prune --dry-run
        hyperpage backup prune

    Kept are those of the last HYPERPAGE_BACKUP_RETENTION_DAYS days (30), the
    last one of as many hours, days, weeks and months as
    HYPERPAGE_BACKUP_KEEP_HOURLY, _DAILY, _WEEKLY and _MONTHLY say, pinned
    ones, the newest one and the newest proven one.
    """
    from ops.backup.content import store_id_of
    from ops.backup.metadata import list_backups
    from ops.backup.retention import remove, retain

    settings = settings_for(data)
    # Those of other stores in the folder are theirs to prune.
    found = list_backups(settings.backup_folder, store_id_of(settings.store_path))
    kept = retain(found, settings.backup_rules, time.time_ns() // 1_000_000)
    gone = [one for one in found if kept[one.name] is None]
    if not dry_run:
        for one in gone:
            remove(one)
    if as_json:
        print_json(
            {
                "removed": [one.name for one in gone],
                "kept": {name: why for name, why in kept.items() if why},
                "dry_run": dry_run,
            }
        )
    elif not kept:
        say(f"There is no backup in {settings.backup_folder}.")
    else:
        done = "would go" if dry_run else "deleted"
        print_table([{"name": name, "kept": why or done} for name, why in kept.items()])
    return Exit.DONE


def pin(name: NameArgument, /, *, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Keeps a backup for good, whatever the rules of retention say.

    For example:

        hyperpage backup pin hyperpage-backup-20261124T081500000Z.db
    """
    return _set_pinned(name, True, data, as_json)


def unpin(name: NameArgument, /, *, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Leaves a backup to the rules of retention again.

    For example:

        hyperpage backup unpin hyperpage-backup-20261124T081500000Z.db
    """
    return _set_pinned(name, False, data, as_json)


def _set_pinned(name: str, pinned: bool, data: Path | None, as_json: bool) -> int:
    from ops.backup.metadata import Backup, find_backup, update_metadata

    with _understandable():
        path = find_backup(settings_for(data).backup_folder, name)
        metadata = update_metadata(path, pinned=pinned)
    if as_json:
        print_json(_entry(Backup(path, metadata)))
    else:
        print(f"{path.name}: {'kept for good' if pinned else 'left to the rules of retention'}")
    return Exit.DONE


def restore(
    name: Annotated[
        str | None, Parameter(help="The backup's name or path. Default: the nearest to the moment.")
    ] = None,
    /,
    *,
    to_position: Annotated[int | None, option("The last position that the store shall have.")] = None,
    to_time: Annotated[
        str | None,
        option("The moment to go back to: 2026-11-24T08:15:00Z, or milliseconds since 1970."),
    ] = None,
    latest: Annotated[
        bool, option("Whatever backups and archive have last; for a store that is damaged or gone.")
    ] = False,
    dry_run: Annotated[bool, option("Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, option("Yes, replace the store.")] = False,
    no_safety_backup: Annotated[bool, option("Do not make a backup of the present store first.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Puts the store back to what it was, on a new timeline.

    For example:

        hyperpage backup restore --to-time 2026-11-24T08:15:00Z --dry-run
        hyperpage backup restore --to-time 2026-11-24T08:15:00Z --yes
        hyperpage backup restore hyperpage-backup-20261124T081500000Z.db --yes

    The backup is checked first, and the present store backed up. The new one
    is made beside it and put in its place at the end: whatever goes wrong
    before leaves the present one as it is. A running service drains, restores
    and goes on.
    """
    from ops.backup.restore import plan_restore
    from ops.backup.way import Moment

    if sum((to_position is not None, to_time is not None, latest)) > 1:
        raise usage_failure("to a position, to a time, or to the latest: only one of them")
    moment = Moment(
        # The service has a working directory of its own.
        backup=str(Path(name).absolute()) if name is not None and os.sep in name else name,
        position=to_position,
        time=None if to_time is None else _moment(to_time),
        latest=latest,
    )
    settings = settings_for(data)
    if dry_run:
        with _understandable():
            plan = plan_restore(settings.places, moment)
        _print(plan, as_json)
        return Exit.DONE
    if not yes:
        raise usage_failure("this replaces the store", "see what it would do with --dry-run, then say --yes")
    # First of all: a name or a directory that was mistyped should cost nothing, and make nothing.
    with _understandable():
        plan_restore(settings.places, moment)
    try:
        directory = DataDirectory(settings.data)
    except DirectoryInUseError:
        done = _restore_running(data, moment, not no_safety_backup)
    else:
        try:
            done = _restore_stopped(settings, moment, not no_safety_backup)
        finally:
            directory.release()
    _print(done, as_json)
    return Exit.DONE


def _restore_stopped(settings: "Settings", moment: "Moment", safety: bool) -> Any:
    from ops.backup.restore import restore as carry_out
    from ops.backup.stream_timeline import highest_timeline_in_stream
    from ops.backup.swap import finish_swap
    from ops.service import service_version

    with _understandable():
        finish_swap(settings.store_path)
        highest = highest_timeline_in_stream(settings)
        with shown_progress() as progress:
            return carry_out(
                settings.places,
                moment,
                version=service_version(),
                safety=safety,
                highest_timeline=highest,
                progress=progress,
            )


def _restore_running(data: Path | None, moment: "Moment", safety: bool) -> dict[str, Any]:
    """What the running service says that it did.

    Raises:
        CommandFailure: it refused, could not restore, or did not come back.
    """
    request = {**msgspec.to_builtins(moment), "safety": safety}
    accepted = administer("backup.restore", request, data, timeout_seconds=ACCEPT_SECONDS)
    say("accepted; the service drains, restores and goes on")
    runtime = read_runtime(settings_for(data).data)
    deadline = time.monotonic() + RESTORE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        if runtime is not None and not _is_alive(runtime.pid):
            raise unreachable(
                "the service ended while it restored", "start it: it serves the old store, or the new one"
            )
        try:
            ended = administer("backup.restored", {}, data, timeout_seconds=ACCEPT_SECONDS)
        except CommandFailure as error:
            # It is away for as long as the restore takes.
            if error.exit_code is not Exit.UNREACHABLE:
                raise
            continue
        # `null` before the first restore, or the one before this.
        if not ended or ended["token"] != accepted["token"]:
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


def _print(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_members(msgspec.to_builtins(result))


def _moment(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise usage_failure(f"{text!r} is no moment", "write it as 2026-11-24T08:15:00Z") from None
    if moment.tzinfo is None:
        raise usage_failure(f"{text!r} has no time zone", "add Z for UTC, or an offset as in +02:00")
    return round(moment.timestamp() * 1000)


def _entry(backup: "Backup") -> dict[str, Any]:
    return {
        "name": backup.name,
        "path": str(backup.path.absolute()),
        "status": backup.metadata.status,
        "metadata": backup.metadata,
    }


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
    missing = error.reason == "not_found"
    answer = {"valid": False, "message": error.message, "reason": error.reason, "name": Path(name).name}
    described = {"code": error.reason, "message": error.message, "hint": error.hint, "details": {}}
    exit_code = Exit.NOT_FOUND if missing else Exit.VERIFICATION_FAILED
    return CommandFailure(exit_code, described, answer=answer)


@contextmanager
def _understandable() -> Iterator[None]:
    """What is wrong with a backup or the store's file, in words instead of a traceback."""
    import apsw

    from migrations.connection import UnsafeSqliteError
    from migrations.runner import MigrationError
    from ops.backup.metadata import BackupError

    try:
        yield
    except BackupError as error:
        is_missing = error.reason in ("not_found", "unreachable_moment")
        exit_code = Exit.NOT_FOUND if is_missing else Exit.VERIFICATION_FAILED
        raise failure(exit_code, error.reason, error.message, error.hint) from error
    except MigrationError as error:
        raise failure(Exit.FAILED, "failed", error.message, error.hint) from error
    except UnsafeSqliteError as error:
        raise failure(Exit.FAILED, "failed", str(error)) from error
    except apsw.Error as error:
        raise failure(Exit.FAILED, "failed", f"SQLite says: {error}") from error
