"""`hyperpage import`: turns the rows of the system before this one into events."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from ops.cli.asking import administer
from ops.cli.stopped import free_directory
from ops.cli.terminal.exits import Exit, failure, refused
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import compact, print_result, print_table, printable, say, shown_progress
from ops.cli.terminal.recording import recorded

if TYPE_CHECKING:
    from ops.importing.importer import ImportReport
    from ops.settings import Settings

# The time to wait for an import by the service; a million rows take some minutes.
IMPORT_SECONDS = 6 * 3600.0


def import_file(
    file: Annotated[Path, Parameter(help="The old system's database; it is only read.")],
    /,
    *,
    dry_run: Annotated[
        bool, option("Say which rows would be imported, and which not; nothing changes.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Imports the rows of the system before this one, with their times, as events.

    For example:

        hyperpage import old.db --dry-run
        hyperpage import old.db --data /var/lib/hyperpage

    It makes a store if there is none. If a service runs on the directory, the
    service does the import. A second run skips the rows that are here already.
    Rows that cannot be imported are listed with the reason, and the exit code
    is then 1.
    """
    settings = settings_for(data)
    with _explained(settings):
        report = _tried(file, settings) if dry_run else _imported(file, settings)
    print_result(report, as_json, _print)
    return Exit.DONE if report.is_complete else Exit.FAILED


def _tried(file: Path, settings: "Settings") -> "ImportReport":
    """The report of a dry run, which does not disturb a running service."""
    from ops.importing.destinations import Trial, trial_connection
    from ops.importing.importer import import_all
    from ops.importing.source import Source

    allowed = settings.allowed_secrets
    with (
        closing(Source(file)) as source,
        trial_connection(settings.store_path) as connection,
        shown_progress() as progress,
    ):
        destination = Trial(connection, allowed, _now_ms)
        return import_all(source, destination, allowed=allowed, dry_run=True, progress=progress)


def _imported(file: Path, settings: "Settings") -> "ImportReport":
    """The report of an import by the running service, or without one."""
    from ops.importing.destinations import StoppedStore
    from ops.importing.importer import ImportReport, import_all
    from ops.importing.source import Source
    from ops.store.opening import open_store

    # Open the source first: if it cannot be read, no store is made.
    with closing(Source(file)) as source, free_directory(settings) as in_use:
        if in_use is not None:
            wish = {"path": str(file.absolute())}
            answer = administer("import.file", wish, settings.data, timeout_seconds=IMPORT_SECONDS)
            return msgspec.convert(answer, ImportReport)
        allowed = settings.allowed_secrets
        connection, _ = open_store(
            settings.store_path,
            cache_kib=settings.writer_cache_kib,
            upgrade_check_seconds=settings.upgrade_check_seconds,
        )
        wish = {"path": str(file.absolute())}
        with (
            closing(connection),
            recorded(settings, "import.file", wish),
            shown_progress() as progress,
        ):
            destination = StoppedStore(connection, allowed, _now_ms)
            return import_all(source, destination, allowed=allowed, progress=progress)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def _explained(settings: "Settings") -> Iterator[None]:
    from domain.errors import Refusal
    from ops.importing.source import SourceError, SourceMissingError

    try:
        with understandable(settings.store_path):
            yield
    except SourceMissingError as error:
        raise failure(Exit.NOT_FOUND, "not_found", error.message, error.hint) from error
    except SourceError as error:
        raise failure(Exit.FAILED, "failed", error.message, error.hint) from error
    except Refusal as refusal:
        answer = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        raise refused(answer | {"details": refusal.details}) from refusal


def _print(report: "ImportReport") -> None:
    print_table([{"table": name, **msgspec.structs.asdict(one)} for name, one in report.tables.items()])
    if report.not_taken:
        print("Not taken:")
    for one in report.not_taken:
        print(f"  {one.table} {compact(one.id)}: {printable(one.reason)}")
    if report.not_listed:
        print(f"  and {report.not_listed} more")
    if report.dry_run:
        say("This was a dry run: nothing was changed.")
    else:
        print(f"The log ends at position {report.position}.")
