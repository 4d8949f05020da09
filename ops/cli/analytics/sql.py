"""`hyperpage analytics sql`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter

from ops.cli.analytics.lake import LakeOption, SnapshotOption, lake_folder
from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_table, say

# Of a table for people; the other formats have all rows.
SHOWN_ROWS = 1_000


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
) -> None:
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
    with understandable():
        answer = ask(lake_folder(lake, data), sys.stdin.read() if query == "-" else query, snapshot=snapshot)
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


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is put in its place when it is whole."""
    from ops.analytics.lake.files import replaced

    if out is None:
        yield sys.stdout
        return
    with replaced(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
