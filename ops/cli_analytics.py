"""`hyperpage analytics`: SQL over backups and the whole history, offline."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cyclopts import App, Parameter

from ops.cli_exit import Exit, failure, usage_failure
from ops.cli_options import DataOption, JsonOption, option, settings_for
from ops.cli_output import print_json, print_table, say
from ops.cli_progress import shown_progress

if TYPE_CHECKING:
    from ops.analytics.export import Report

# In a table for people; the other formats have no end.
SHOWN_ROWS = 1_000

LakeOption = Annotated[Path | None, option("The lake's folder. Default: DIR/lake.", name="--lake")]
SnapshotOption = Annotated[
    str | None, option("Show the snapshot of this backup. Default: the newest one.", name="--snapshot")
]


def analytics() -> App:
    """The commands of analysts."""
    app = App(name="analytics", help="Asks SQL questions of backups and of the whole history, offline.")
    app.command(export_backups, name="export")
    app.command(sql, name="sql")
    return app


def export_backups(
    *,
    backup: Annotated[str, option("A backup's name or path, or all of them.")] = "all",
    out: Annotated[Path | None, option("The lake's folder. Default: DIR/lake.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Turns backups into Parquet: the log once, the tables of each backup. Adds what is new to a lake.

    For example:

        hyperpage analytics export
        hyperpage analytics export --backup all --out lake

    A backup that is damaged or another store's is left out, with the reason;
    the exit code is then 1 (6 if nothing else was asked for).
    """
    from ops.analytics.export import export
    from ops.backup.content import store_id_of
    from ops.backup.metadata import (
        Backup,
        BackupError,
        damaged_backups,
        find_backup,
        list_backups,
        read_metadata,
    )

    settings = settings_for(data)
    with _understandable(), shown_progress() as progress:
        folder = settings.backup_folder
        if backup == "all":
            backups, damaged = list_backups(folder), list(damaged_backups(folder))
            if not backups and not damaged:
                raise BackupError(
                    "not_found", f"there is no backup in {folder}", "`hyperpage backup create` makes one"
                )
        else:
            path = find_backup(folder, backup)
            backups, damaged = [Backup(path, read_metadata(path))], []
        report = export(
            backups,
            settings.data / "lake" if out is None else out,
            store_id=store_id_of(settings.store_path),
            damaged=damaged,
            progress=progress,
        )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if not report.refused:
        return Exit.DONE
    return Exit.FAILED if backup == "all" else Exit.VERIFICATION_FAILED


def sql(
    query: Annotated[str, Parameter(help="One query, or - to read it from stdin.")],
    /,
    *,
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    format: Annotated[  # noqa: A002  # what users call it
        Literal["table", "csv", "json", "parquet"], option("How the answer is written. Default: table.")
    ] = "table",
    out: Annotated[Path | None, option("The file to write to; needed for parquet.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Asks one question of a lake. It reads nothing else, and writes nothing but its answer.

    For example:

        hyperpage analytics sql "SELECT status, count(*) FROM jobs GROUP BY ALL"
        hyperpage analytics sql "FROM job_latency('1 hour')" --format csv
        hyperpage analytics sql "FROM jobs_at(41872)" --format parquet --out jobs.parquet

    Views: events, jobs, job_history, queues, schedules, rate_limits,
    tool_configs, app_state, snapshots, attempts, and the <table>_versions.
    """
    from ops.analytics.asking import ask

    wanted = "json" if as_json else format
    if wanted == "parquet" and out is None:
        raise usage_failure("Parquet is for files", "name one with --out")
    with _understandable():
        answer = ask(_lake(lake, data), sys.stdin.read() if query == "-" else query, snapshot=snapshot)
        if wanted == "parquet" and out is not None:
            answer.write_parquet(out)
        elif wanted == "table":
            records = answer.records()
            shown = list(islice(records, SHOWN_ROWS))
            if shown:
                print_table(shown)
            else:
                say("No rows.")
            if next(records, None) is not None:
                say(f"(only the first {SHOWN_ROWS:,} rows are shown; --format csv or json has all)")
        else:
            with _writing(out) as file:
                (answer.write_csv if wanted == "csv" else answer.write_json)(file)
    return Exit.DONE


def _lake(lake: Path | None, data: Path | None) -> Path:
    return settings_for(data).data / "lake" if lake is None else lake


def _print_report(report: "Report") -> None:
    rows = [{"backup": name, "outcome": "exported"} for name in report.exported]
    rows += [{"backup": one.name, "outcome": f"refused: {one.message}"} for one in report.refused]
    for row in rows:
        print(f"{row['backup']}: {row['outcome']}")
    kept = f", {len(report.known)} were there already" if report.known else ""
    print(f"{report.lake}: {report.events} events written, up to position {report.position}{kept}")


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put in its place when it is whole."""
    from ops.analytics.layout import replaced

    if out is None:
        yield sys.stdout
        return
    with replaced(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def _understandable() -> Iterator[None]:
    """What is wrong with a lake, a query or a backup, in words instead of a traceback."""
    from ops.analytics.layout import AnalyticsError
    from ops.backup.metadata import BackupError

    try:
        yield
    except AnalyticsError as error:
        is_missing = error.reason in ("no_lake", "not_found", "unreachable_moment")
        exit_code = Exit.NOT_FOUND if is_missing else Exit.FAILED
        raise failure(exit_code, error.reason, error.message, error.hint) from error
    except BackupError as error:
        exit_code = Exit.NOT_FOUND if error.reason == "not_found" else Exit.VERIFICATION_FAILED
        raise failure(exit_code, error.reason, error.message, error.hint) from error
