"""The section about jobs that were tried again, rescued from lost workers, or given up."""

from markupsafe import Markup

from ops.analytics.report import section, units
from ops.analytics.report.markup import joined, shortened
from ops.analytics.report.plot import Series
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.source import Source
from ops.analytics.report.stacks import stacked

KINDS = {
    "job.attempt_failed.v1": ("tried again after a failure", "c1"),
    "job.attempt_timed_out.v1": ("tried again after its deadline", "c6"),
    "job.rescued.v1": ("rescued: the worker was gone", "rescued"),
    "job.retried.v1": ("retried by hand", "other"),
    "job.failed.v1": ("given up: failed", "failed"),
    "job.timed_out.v1": ("given up: deadline", "timeout"),
}
# The types of events after which a job is tried again.
AGAIN = ("job.attempt_failed.v1", "job.attempt_timed_out.v1", "job.retried.v1")


def retries(source: Source) -> Section:
    """Retries, rescues and jobs that were given up, over time, and the jobs that took most attempts."""
    title = "Retries and rescues"
    names = ", ".join(f"'{name}'" for name in KINDS)
    rows = source.rows(
        f"SELECT bucket, type, count(*) FROM period_retries WHERE type IN ({names}) GROUP BY ALL ORDER BY ALL"
    )
    if not rows:
        nothing = section.nothing("Nothing was tried again, rescued or given up in this period.")
        return Section("retries", title, [nothing])
    series = [
        Series(word, colour, {bucket: times for bucket, type_, times in rows if type_ == name})
        for name, (word, colour) in KINDS.items()
    ]
    totals = {one.name: sum(one.values.values()) for one in series if one.values}
    label = f"Tried again, rescued or given up in each {source.period.bucket}"
    chart = stacked(source, label, series)
    said = "; ".join(f"{units.count(times)} {word}" for word, times in totals.items())
    return Section("retries", title, [chart, _most_attempts(source)], joined(said, "."))


def _most_attempts(source: Source) -> Markup:
    rows = source.rows(
        "SELECT a.job_id, any_value(a.type), any_value(a.tool), count(*) AS attempts,"
        " arg_max(a.status, a.started_at) AS last, arg_max(a.error_message, a.started_at)"
        " FROM period_attempts AS a GROUP BY a.job_id HAVING attempts > 1"
        f" ORDER BY attempts DESC, a.job_id LIMIT {MOST_NAMES}"
    )
    title = "Jobs with the most attempts"
    if not rows:
        return section.wide_figure(title, section.nothing("No job was tried more than once in this period."))
    columns = (
        Column("Job"),
        Column("Type"),
        Column("Tool"),
        Column("Attempts", units.count),
        Column("Last one"),
        Column("Last error"),
    )
    figures = [
        (job, kind, tool, attempts, last, error and shortened(error, 300))
        for job, kind, tool, attempts, last, error in rows
    ]
    return section.wide_figure(title, section.table(columns, figures, caption=title))
