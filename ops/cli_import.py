"""`hyperpage import`: the rows of the system before this one become events."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ops.cli_exit import Exit, failure, refused
from ops.cli_options import DataOption, JsonOption, option, settings_for
from ops.cli_output import compact, print_json, print_table, printable, say
from ops.cli_progress import shown_progress
from ops.cli_store import stopped_directory, understandable

if TYPE_CHECKING:
    from ops.importing.importer import Report
    from ops.importing.targets import StoppedStore
    from ops.settings import Settings


def import_file(
    file: Annotated[Path, Parameter(help="The old system's database; it is only read.")],
    /,
    *,
    dry_run: Annotated[bool, option("Say what would be imported, and what not; nothing is changed.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Imports the rows of the system before this one, with their times, as events.

    For example:

        hyperpage import old.db --dry-run
        hyperpage import old.db --data /var/lib/hyperpage

    Makes a store where there is none; the service must be stopped, but for a
    dry run. A second run passes over what is here already. Rows that cannot
    be taken are listed with the reason, and the exit code is then 1.
    """
    from ops.importing.importer import import_all
    from ops.importing.source import Source

    settings = settings_for(data)
    with _explained(settings), closing(Source(file)) as source:
        target = _trial(settings) if dry_run else _store(settings)
        with target as store, shown_progress() as progress:
            report = import_all(
                source, store, allowed=settings.allowed_secrets, dry_run=dry_run, progress=progress
            )
    if as_json:
        print_json(report)
    else:
        _print(report)
    return Exit.DONE if report.is_complete else Exit.FAILED


@contextmanager
def _store(settings: "Settings") -> "Iterator[StoppedStore]":
    from ops.importing.targets import StoppedStore
    from ops.store import open_store

    with stopped_directory(settings):
        connection, _ = open_store(settings.store_path, cache_kib=settings.writer_cache_kib)
        with closing(connection):
            yield StoppedStore(connection, settings.allowed_secrets, _now_ms)


@contextmanager
def _trial(settings: "Settings") -> "Iterator[StoppedStore]":
    from ops.importing.targets import Trial, trial_connection

    with trial_connection(settings.store_path) as connection:
        yield Trial(connection, settings.allowed_secrets, _now_ms)


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
        raise failure(Exit.NOT_FOUND, "not_found", error.message) from error
    except SourceError as error:
        raise failure(Exit.FAILED, "failed", error.message, error.hint) from error
    except Refusal as refusal:
        answer = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        raise refused(answer | {"details": refusal.details}) from refusal


def _print(report: "Report") -> None:
    import msgspec

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
