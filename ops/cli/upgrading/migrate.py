"""`hyperpage migrate`: brings the store's file to the shape that this program needs, or back."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from ops.cli.stopped import free_directory, require_store, stopped_directory
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result, print_table
from ops.cli.terminal.recording import recorded

if TYPE_CHECKING:
    import apsw

    from ops.settings import Settings


def migrate() -> App:
    """The commands that migrate the store's file."""
    app = App(name="migrate", help="Brings the store's file to the shape that this program needs.")
    app.command(migration_status, name="status")
    app.command(migrate_up, name="up")
    app.command(migrate_down, name="down")
    return app


def migration_status(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the migrations, and when each was applied; also beside a running service.

    For example:

        hyperpage migrate status
    """
    from migrations import runner
    from migrations.connection import open_reader

    path = settings_for(data).store_path
    require_store(path)
    with understandable(path), closing(open_reader(path)) as connection:
        known = runner.status(connection)
    rows = [{"name": one.name, "applied": one.applied, "executed_at": one.executed_at} for one in known]
    print_result(rows, as_json, print_table)


def migrate_up(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Applies the migrations that are not applied yet, all or none.

    For example:

        hyperpage migrate up --data /var/lib/hyperpage

    It makes a store if there is none. `hyperpage serve` does the same when it
    starts, so beside a running service there is nothing to apply. If this
    version would make other rows from the log than the store has, the store is
    left as it is; see `hyperpage check-upgrade`.
    """
    from ops.store.opening import give_identity
    from ops.store.upgrade import bring_up_to_date

    settings = settings_for(data)
    if _is_served_up_to_date(settings):
        _print_names("applied", [], as_json)
        return
    with _writing(data) as connection, recorded(settings, "migrate.up", {}) as said:
        said["applied"] = names = bring_up_to_date(
            connection, settings.store_path, check_seconds=settings.upgrade_check_seconds
        )
        give_identity(connection)
    _print_names("applied", names, as_json)


def migrate_down(
    *,
    to: Annotated[
        str | None, option("Revert everything behind this migration. Default: revert the newest one only.")
    ] = None,
    drop_events: Annotated[
        bool, option("Yes, drop the log of events with its tables. Nothing brings it back.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reverts migrations, the newest first.

    For example:

        hyperpage migrate down
        hyperpage migrate down --to 002_event_log

    It is for a return to an older program. The service must be stopped; make a
    backup first.
    """
    from migrations import runner

    require_store(settings_for(data).store_path)
    wish = {"to": to, "drop_events": drop_events}
    with _writing(data) as connection, recorded(settings_for(data), "migrate.down", wish) as said:
        said["reverted"] = names = runner.down(connection, to=to, drop_events=drop_events)
    _print_names("reverted", names, as_json)


def _is_served_up_to_date(settings: "Settings") -> bool:
    """Whether a service runs on the directory, and its store is in the shape that this program needs."""
    from migrations import runner
    from migrations.connection import open_reader

    path = settings.store_path
    with free_directory(settings) as in_use:
        if in_use is None or not path.exists():
            return False
        with understandable(path), closing(open_reader(path)) as connection:
            return all(one.applied for one in runner.status(connection))


def _print_names(done: str, names: list[str], as_json: bool) -> None:
    lines = "\n".join(f"{done} {name}" for name in names)
    print_result({done: names}, as_json, lines or f"nothing had to be {done}")


@contextmanager
def _writing(data: Path | None) -> "Iterator[apsw.Connection]":
    from migrations.connection import open_writer
    from migrations.schema import require_own_schema

    settings = settings_for(data)
    path = settings.store_path
    with stopped_directory(settings), understandable(path), closing(open_writer(path)) as connection:
        require_own_schema(connection, path.name)
        yield connection
