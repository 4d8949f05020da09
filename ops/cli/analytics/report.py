"""`hyperpage analytics report`."""

from pathlib import Path
from typing import Annotated

from ops.cli.analytics.lake import LakeOption, SnapshotOption, lake_folder
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result


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
) -> None:
    """Writes a page of charts: throughput and failures, waiting, retries, budgets, changes, growth.

    For example:

        hyperpage analytics report --out report.html
        hyperpage analytics report --out week.html --since 7d --title "Our week"
        hyperpage analytics report --out outage.html --since 2026-11-24T08:00:00Z --until 2026-11-24T10:00:00Z

    One file that needs nothing else: to mail, to print, to keep.
    """
    from ops.analytics.report import write_report

    with understandable():
        written = write_report(
            lake_folder(lake, data), out, since=since, until=until, snapshot=snapshot, title=title
        )
    print_result(written, as_json, str(out))
