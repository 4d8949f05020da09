"""`hyperpage analytics`: SQL over backups and the whole history, offline."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from cyclopts import App, Parameter

from ops.cli.backup.shared import IdentityOption, failure_of, identities_in, scratch_folder
from ops.cli.terminal.exits import Exit, failure, unreachable, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import compact, print_json, print_table, printable, say
from ops.cli.terminal.progress_bars import shown_progress

if TYPE_CHECKING:
    from ops.analytics.asking.difference import Difference
    from ops.analytics.export.exporting import Report
    from ops.targets.sealing import Identities
    from ops.targets.target import Place

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
    app.command(diff, name="diff")
    app.command(report, name="report")
    app.command(shell, name="shell")
    app.command(database, name="database")
    return app


def export_backups(
    *,
    backup: Annotated[str, option("A backup's name or path, or all of them.")] = "all",
    out: Annotated[Path | None, option("The lake's folder. Default: DIR/lake.")] = None,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Turns backups and the archive into Parquet: the log once, the tables of each backup.

    Adds what is new to a lake. With --backup NAME, it takes that backup alone.

    For example:

        hyperpage analytics export
        hyperpage analytics export --backup all --out lake

    A backup that is damaged or another store's is left out, with the reason;
    the exit code is then 1 (6 if nothing else was asked for).
    """
    with _understandable():
        report = _export(backup, _lake(out, data), data, identities_in(identity))
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
    from ops.analytics.asking.query import ask

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


def diff(
    first: Annotated[str, Parameter(help="A backup's name, a position, or a time.")],
    second: Annotated[str, Parameter(help="The same.")],
    /,
    *,
    lake: LakeOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Says what became of each row between two moments: added, removed, changed, with old and new values.

    For example:

        hyperpage analytics diff 41000 41872
        hyperpage analytics diff 2026-11-24T08:00:00Z 2026-11-24T09:00:00Z
        hyperpage analytics diff hyperpage-backup-20261124T081500000Z.db 41872

    Where there is no lake in DIR/lake, and none is named, one is made for the
    length of the command.
    """
    from ops.analytics.asking.difference import difference

    with _understandable(), _lake_at_hand(lake, data) as at_hand:
        found = difference(at_hand, first, second)
    if as_json:
        print_json(found)
    else:
        for table, one in found.items():
            for line in _lines_of(table, one):
                print(printable(line))
        if not any(one.added or one.removed or one.changed for one in found.values()):
            say("Nothing has changed.")
    return Exit.DONE


def report(
    *,
    out: Annotated[Path, option("The HTML file to write.")],
    since: Annotated[
        str | None,
        option("The first moment: a time, or an age before the end: 24h, 7d, 4w. Default: the first event."),
    ] = None,
    until: Annotated[str | None, option("The moment of its end. Default: the last event.")] = None,
    title: Annotated[str, option("What stands above it.")] = "hyperpage-persistence",
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Writes a page of charts: throughput and failures, waiting, retries, budgets, changes, growth.

    For example:

        hyperpage analytics report --out report.html
        hyperpage analytics report --out week.html --since 7d --title "Our week"
        hyperpage analytics report --out outage.html --since 2026-11-24T08:00:00Z --until 2026-11-24T10:00:00Z

    One file that needs nothing else: to mail, to print, to keep.
    """
    from ops.analytics.report import write_report

    with _understandable():
        written = write_report(
            _lake(lake, data), out, since=since, until=until, snapshot=snapshot, title=title
        )
    if as_json:
        print_json(written)
    else:
        print(out)
    return Exit.DONE


def shell(*, lake: LakeOption = None, snapshot: SnapshotOption = None, data: DataOption = None) -> int:
    """Opens a prompt for SQL over a lake; DuckDB's own, if the program `duckdb` is installed.

    For example:

        hyperpage analytics shell

    What is made there is in memory: the lake stays as it is.
    """
    from ops.cli.analytics.shell import run_shell

    with _understandable():
        return run_shell(_lake(lake, data), snapshot=snapshot)


def database(
    *,
    out: Annotated[Path, option("The file to write.")],
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Writes what a lake shows into one DuckDB file to hand around: rows, views and macros.

    For example:

        hyperpage analytics database --out november.duckdb

    Whoever has DuckDB opens it, without the lake and without this program.
    """
    from ops.analytics.lake.database import write_database

    with _understandable():
        write_database(_lake(lake, data), out, snapshot=snapshot)
    if as_json:
        print_json({"database": str(out), "size_bytes": out.stat().st_size})
    else:
        print(out)
    return Exit.DONE


@contextmanager
def _lake_at_hand(lake: Path | None, data: Path | None) -> Iterator[Path]:
    """The lake that is named, or that of the data directory, or one for the length of the block."""
    from ops.analytics.lake.layout import MANIFEST

    found = _lake(lake, data)
    if lake is not None or (found / MANIFEST).exists():
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="hyperpage-lake-") as folder:
        report = _export("all", Path(folder) / "lake", data)
        for one in report.refused:
            say(f"{one.name} is left out: {one.message}")
        yield Path(folder) / "lake"


def _export(backup: str, lake: Path, data: Path | None, identities: "Identities" = ()) -> "Report":
    from ops.analytics.export.exporting import export
    from ops.archive.segment import list_segments
    from ops.backup.content import store_id_of
    from ops.backup.metadata import Backup, damaged_backups, find_backup, list_backups, read_metadata
    from ops.targets.errors import BackupError

    settings = settings_for(data)
    folder = settings.backup_folder
    if backup == "all":
        backups, damaged = list_backups(folder), list(damaged_backups(folder))
        archive: Place | None = settings.archive_folder
        if not backups and not damaged and not list_segments(settings.archive_folder):
            raise BackupError(
                "not_found",
                f"there is no backup in {folder}, and no archive",
                "`hyperpage backup create` makes one",
            )
    else:
        path = find_backup(folder, backup)
        backups, damaged, archive = [Backup(path, read_metadata(path))], [], None
    store_id = store_id_of(settings.store_path)
    with shown_progress() as progress:
        return export(
            backups,
            lake,
            store_id=store_id,
            damaged=damaged,
            archive=archive,
            identities=identities,
            scratch=scratch_folder(settings),
            progress=progress,
        )


def _lines_of(table: str, one: "Difference") -> Iterator[str]:
    for row in one.added:
        yield f"{table}  added    {next(iter(row.values()))}  {compact(_filled(row))}"
    for row in one.removed:
        yield f"{table}  removed  {next(iter(row.values()))}  {compact(_filled(row))}"
    for each in one.changed:
        values = (f"{name}: {compact(each.old[name])} → {compact(each.new[name])}" for name in each.columns)
        yield f"{table}  changed  {each.key}  {', '.join(values)}"


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """The columns in which something stands, but for the first."""
    return {name: value for name, value in list(row.items())[1:] if value is not None}


def _lake(lake: Path | None, data: Path | None) -> Path:
    return settings_for(data).data / "lake" if lake is None else lake


def _print_report(report: "Report") -> None:
    rows = [{"backup": name, "outcome": "exported"} for name in report.exported]
    rows += [{"backup": one.name, "outcome": f"refused: {one.message}"} for one in report.refused]
    for row in rows:
        print(f"{row['backup']}: {row['outcome']}")
    for problem in report.unmerged:
        say(problem)
    kept = f", {len(report.known)} were there already" if report.known else ""
    archived = f" ({report.archived} of them from the archive)" if report.archived else ""
    print(f"{report.lake}: {report.events} events written{archived}, up to position {report.position}{kept}")


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put in its place when it is whole."""
    from ops.analytics.lake.layout import replaced

    if out is None:
        yield sys.stdout
        return
    with replaced(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def _understandable() -> Iterator[None]:
    """What is wrong with a lake, a query or a backup, in words instead of a traceback."""
    from ops.analytics.lake.layout import AnalyticsError
    from ops.targets.bucket import BucketError
    from ops.targets.errors import BackupError

    try:
        yield
    except AnalyticsError as error:
        if error.reason in ("not_a_moment", "empty_period"):
            raise usage_failure(error.message, error.hint) from error
        is_missing = error.reason in ("no_lake", "not_found", "unreachable_moment")
        exit_code = Exit.NOT_FOUND if is_missing else Exit.FAILED
        raise failure(exit_code, error.reason, error.message, error.hint) from error
    except BackupError as error:
        raise failure_of(error) from error
    except BucketError as error:
        raise unreachable(str(error)) from error
