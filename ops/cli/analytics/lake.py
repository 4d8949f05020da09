"""`hyperpage analytics sql`, `shell`, `report`, `database`: queries of a lake, and files made from it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter

from ops.analytics import DEFAULT_SLA
from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result, print_table, say

# A table for people has at most this many rows; the other formats have all.
SHOWN_ROWS = 1_000

LakeOption = Annotated[Path | None, option("The lake's folder. Default: DIR/lake.", name="--lake")]
SnapshotOption = Annotated[
    str | None, option("Show the snapshot of this backup. Default: the newest one.", name="--snapshot")
]
TimeZoneOption = Annotated[
    str | None, option("The zone that times are shown, grouped and read in: Europe/Berlin. Default: UTC.")
]


def lake_folder(lake: Path | None, data: Path | None) -> Path:
    """The lake's folder: the one that was named, or the one in the data directory."""
    return settings_for(data).data / "lake" if lake is None else lake


def sql(
    query: Annotated[str, Parameter(help="One query, or - to read it from stdin.")],
    /,
    *,
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    time_zone: TimeZoneOption = None,
    format: Annotated[  # noqa: A002  # what users call it
        Literal["table", "csv", "json", "parquet", "xlsx"],
        option("The format of the answer. Default: table."),
    ] = "table",
    out: Annotated[Path | None, option("The file to write to; needed for parquet and xlsx.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs one SQL query on a lake. It reads nothing else, and writes nothing but the answer.

    For example:

        hyperpage analytics sql "SELECT status, count(*) FROM jobs GROUP BY ALL"
        hyperpage analytics sql "FROM job_latency('1 hour')" --format csv
        hyperpage analytics sql "FROM jobs_at(41872)" --format parquet --out jobs.parquet

    Views: events, jobs, job_history, queues, schedules, rate_limits,
    tool_configs, app_state, snapshots, attempts, jobs_ever, and the
    <table>_versions. Macros: failure_rate, job_latency, failure_spikes,
    changes_before, sla_misses, sla_rate, rate_limit_burn, config_audit,
    event_rate, changes_between, and the <table>_at.
    """
    from ops.analytics.asking.query import ask, write_workbook

    wanted = "json" if as_json else format
    if wanted in ("parquet", "xlsx") and out is None:
        raise usage_failure(f"{wanted} is for files", "name one with --out")
    with understandable():
        asked = sys.stdin.read() if query == "-" else query
        if wanted == "xlsx" and out is not None:
            write_workbook(lake_folder(lake, data), asked, out, snapshot=snapshot, time_zone=time_zone)
            return
        answer = ask(lake_folder(lake, data), asked, snapshot=snapshot, time_zone=time_zone)
        if wanted == "parquet" and out is not None:
            answer.write_parquet(out)
        elif wanted == "table":
            records = answer.records()
            shown = list(islice(records, SHOWN_ROWS))
            if shown:
                # An empty column is part of the answer, so it is shown.
                print_table(shown, empty_columns=True)
            else:
                say("No rows.")
            if next(records, None) is not None:
                say(f"(only the first {SHOWN_ROWS:,} rows are shown; --format csv or json has all)")
        else:
            with _writing(out) as file:
                (answer.write_csv if wanted == "csv" else answer.write_json)(file)


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put in its place once it is complete."""
    from ops.analytics.lake.files import replaced

    if out is None:
        yield sys.stdout
        return
    with replaced(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def shell(
    *,
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    time_zone: TimeZoneOption = None,
    data: DataOption = None,
) -> int:
    """Opens a prompt for SQL over a lake; DuckDB's own, if the program `duckdb` is installed.

    For example:

        hyperpage analytics shell

    Tables that you make there are in memory only: the lake stays as it is.
    """
    from ops.cli.analytics.prompt import run_shell

    with understandable():
        return run_shell(lake_folder(lake, data), snapshot=snapshot, time_zone=time_zone)


def report(
    *,
    out: Annotated[Path, option("The HTML file to write.")],
    since: Annotated[
        str | None,
        option("The first moment: a time, or an age before the end: 24h, 7d, 4w. Default: the first event."),
    ] = None,
    until: Annotated[str | None, option("The last moment. Default: the last event.")] = None,
    sla: Annotated[
        str,
        option(
            "A job is late if it is not done within this time after it was due: 15min, 1h, 2d."
            f" Default: {DEFAULT_SLA}."
        ),
    ] = DEFAULT_SLA,
    title: Annotated[str, option("The title of the page.")] = "hyperpage-persistence",
    time_zone: TimeZoneOption = None,
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes a page of charts: failures, spikes, waiting, late jobs, retries, budgets, changes, growth.

    For example:

        hyperpage analytics report --out report.html
        hyperpage analytics report --out week.html --since 7d --title "Our week"
        hyperpage analytics report --out outage.html --since 2026-11-24T08:00:00Z --until 2026-11-24T10:00:00Z

    The page is one file that needs no other, to mail, to print or to keep.
    """
    from ops.analytics.report import write_report

    with understandable():
        written = write_report(
            lake_folder(lake, data),
            out,
            since=since,
            until=until,
            snapshot=snapshot,
            time_zone=time_zone,
            sla=sla,
            title=title,
        )
    print_result(written, as_json, str(out))


def database(
    *,
    out: Annotated[Path, option("The file to write.")],
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the rows, views and macros of a lake into one DuckDB file to hand around.

    For example:

        hyperpage analytics database --out november.duckdb

    DuckDB alone opens the file, without the lake and without this program.
    """
    from ops.analytics.lake.database import write_database

    with understandable():
        write_database(lake_folder(lake, data), out, snapshot=snapshot)
    print_result({"database": str(out), "size_bytes": out.stat().st_size}, as_json, str(out))
