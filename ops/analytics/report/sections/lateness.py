"""The section about jobs that were not done in time, including those that have left the tables."""

from markupsafe import Markup

from ops.analytics.report import section, units
from ops.analytics.report.markup import joined, named
from ops.analytics.report.plot import Series
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.source import Source
from ops.analytics.report.stacks import stacked


def lateness(source: Source) -> Section:
    """Jobs that were due in the period, and the late ones: over time, by queue, and the latest of them."""
    title = "Done in time"
    period = source.period
    within = f"INTERVAL {source.within_ms} MILLISECOND"
    source.execute(
        f"CREATE TEMP TABLE due_jobs AS SELECT *, {period.begin_of('due_at')} AS bucket,"
        f" is_late(state, due_at, completed_at, {within}) AS late FROM jobs_ever"
        f" WHERE due_at >= {period.since} AND due_at < {period.until} AND late IS NOT NULL"
    )
    jobs, late = source.row("SELECT count(*), count(*) FILTER (late) FROM due_jobs")
    if not jobs:
        return Section("lateness", title, [section.nothing("No job's time was over in this period.")])
    lead = joined(
        f"{units.count(late)} of {units.counted(jobs, 'job')} ({units.percent(late / jobs)}) were not done"
        f" within {units.duration(source.within_ms)} since they were due."
    )
    figures = [_over_time(source), _by_queue(source), _latest(source, within)]
    return Section("lateness", title, figures, lead)


def _over_time(source: Source) -> Markup:
    rows = source.rows(
        "SELECT bucket, count(*) FILTER (NOT late), count(*) FILTER (late) FROM due_jobs"
        " GROUP BY bucket ORDER BY bucket"
    )
    series = [
        Series("in time", "done", {bucket: in_time for bucket, in_time, _ in rows if in_time}),
        Series("late", "failed", {bucket: late for bucket, _, late in rows if late}),
    ]
    return stacked(source, f"Jobs that were due in each {source.period.bucket}", series)


def _by_queue(source: Source) -> Markup:
    rows = source.rows(
        "SELECT queue, count(*), count(*) FILTER (late) AS late, count(*) FILTER (late) / count(*)"
        " FROM due_jobs GROUP BY queue ORDER BY late DESC, queue"
    )
    title = "Late jobs, by queue"
    columns = (
        Column("Queue"),
        Column("Due", units.count),
        Column("Late", units.count),
        Column("Share", units.percent),
    )
    found = section.table(columns, rows[:MOST_NAMES], caption=title)
    return section.wide_figure(title, found, note=section.left_out(len(rows), "queues"))


def _latest(source: Source, within: str) -> Markup:
    rows = source.rows(
        "SELECT m.id, m.type, m.queue, m.state, epoch_ms(m.due), m.late_ms"
        f" FROM sla_misses({within}) AS m SEMI JOIN due_jobs USING (created_position)"
        f" ORDER BY m.late_ms DESC, m.id LIMIT {MOST_NAMES}"
    )
    title = "Jobs that were late by most, or still are"
    if not rows:
        return section.wide_figure(title, section.nothing("None was late."))
    columns = (
        Column("Job"),
        Column("Type"),
        Column("Queue"),
        Column("State"),
        section.when("Due", source.period),
        Column("Late by", units.duration),
    )
    figures = [(named(job), *rest) for job, *rest in rows]
    return section.wide_figure(title, section.table(columns, figures, caption=title))
