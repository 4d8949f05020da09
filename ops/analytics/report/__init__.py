"""A report on a lake: one HTML file with charts: `write_report`.

source ─▶ sections: the headline, and a section for each question ─▶ page
 period      └──▶ charts over time, grids by name, stacks; axes by plot, figures by units

The file needs no network and has no script; names and texts of users are escaped by `markup`.
"""

from contextlib import closing
from pathlib import Path

import msgspec

from ops.analytics import DEFAULT_SLA
from ops.analytics.asking.query import explained
from ops.analytics.lake.files import replaced
from ops.analytics.lake.session import connect
from ops.analytics.report.page import page
from ops.analytics.report.period import read_age
from ops.analytics.report.sections.budgets import budgets
from ops.analytics.report.sections.configurations import configurations
from ops.analytics.report.sections.growth import growth
from ops.analytics.report.sections.headline import headline
from ops.analytics.report.sections.latency import latency
from ops.analytics.report.sections.lateness import lateness
from ops.analytics.report.sections.retries import retries
from ops.analytics.report.sections.spikes import spikes
from ops.analytics.report.sections.throughput import throughput
from ops.analytics.report.source import Source, find_period

TITLE = "hyperpage-persistence"
_SECTIONS = (throughput, spikes, latency, lateness, retries, budgets, configurations, growth)


class WrittenReport(msgspec.Struct, frozen=True):
    """A report that was written. `since` and `until` are in milliseconds; the report ends before `until`."""

    path: str
    since: int
    until: int
    snapshot: str | None
    size_bytes: int


def write_report(
    lake: Path,
    file: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    snapshot: str | None = None,
    time_zone: str | None = None,
    sla: str = DEFAULT_SLA,
    title: str = TITLE,
) -> WrittenReport:
    """Writes a report on what a lake shows, in place of an existing file.

    `since` and `until` are times; `since` may also be an age before the end (`7d`). Without them, the report
    is about the whole history. Times are shown, grouped and read in `time_zone`, or in UTC. A job counts as
    late if it is not done within `sla` since it was due: `15min`, `1h`, `2d`.

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot or no event, or the period, the zone or
            `sla` cannot be read.
    """
    within_ms = read_age(sla)
    with (
        closing(connect(lake, snapshot=snapshot, time_zone=time_zone, confined=True)) as connection,
        explained(),
    ):
        source = Source(connection, find_period(connection, since, until, time_zone or "UTC"), within_ms)
        shown = source.snapshot()
        content = page(
            title=title,
            period=source.period,
            snapshot=shown,
            tiles=headline(source),
            sections=[section(source) for section in _SECTIONS],
        )
    with replaced(file) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="replace")
    return WrittenReport(
        str(file.absolute()),
        source.period.since,
        source.period.until,
        None if shown is None else shown.name,
        file.stat().st_size,
    )
