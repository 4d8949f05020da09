"""The headline: tiles with the most important figures."""

from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element
from ops.analytics.report.sections.latency import quantiles
from ops.analytics.report.sections.retries import AGAIN
from ops.analytics.report.sections.throughput import failure_rate
from ops.analytics.report.source import Source

_NOTHING = "–"


def headline(source: Source) -> Markup:
    """Tiles, each with a figure and a line that explains it."""
    ended, completed, failed, timed_out, rate = source.row(
        "SELECT count(*), count(*) FILTER (status = 'completed'), count(*) FILTER (status = 'failed'),"
        f" count(*) FILTER (status = 'timeout'), {failure_rate()} FROM ended_attempts"
    )
    [whole] = source.records(
        f"SELECT {quantiles('wait_ms')}, {quantiles('duration_ms')} FROM period_attempts"
    )
    again = ", ".join(f"'{name}'" for name in AGAIN)
    retried, rescued, enqueued = source.row(
        f"SELECT count(*) FILTER (type IN ({again})), count(*) FILTER (type = 'job.rescued.v1'),"
        " count(*) FILTER (type = 'job.enqueued.v1') FROM period_retries"
    )
    [imported] = source.row(
        "SELECT count(*) FROM jobs_versions AS v JOIN events AS e USING (position)"
        " WHERE e.type = 'job.imported.v1'"
        f" AND v.created_at >= {source.period.since} AND v.created_at < {source.period.until}"
    )
    events, changed, actors = source.row(
        "SELECT count(*), count(*) FILTER (table_name = 'tool_configs'),"
        " count(DISTINCT actor) FILTER (table_name = 'tool_configs') FROM period_events"
    )
    enqueued += imported
    return element(
        "dl",
        _tile("Jobs enqueued", enqueued, units.count(enqueued), f"{units.counted(ended, 'attempt')} ended"),
        _tile("Completed", completed, units.count(completed), "attempts that did their job"),
        _tile(
            "Failure rate",
            rate,
            _NOTHING if rate is None else units.percent(rate),
            f"{units.count(failed)} failed, {units.count(timed_out)} timed out",
        ),
        _duration("Wait, median", whole["wait_ms_p50"], whole["wait_ms_p95"]),
        _duration("Run time, median", whole["duration_ms_p50"], whole["duration_ms_p95"]),
        _tile("Retries", retried, units.count(retried), units.counted(rescued, "rescue")),
        _tile(
            "Configuration changes",
            changed,
            units.count(changed),
            f"by {units.counted(actors, 'named actor')}",
        ),
        _tile("Events recorded", events, units.count(events), _position(source)),
        class_="tiles",
    )


def _position(source: Source) -> str:
    shown = source.snapshot()
    return "in this period" if shown is None else f"the log ends at {units.count(shown.position)}"


def _duration(name: str, median: float | None, p95: float | None) -> Markup:
    beneath = "nothing is known of it" if p95 is None else f"95 % within {units.duration(p95)}"
    return _tile(name, median, _NOTHING if median is None else units.duration(median), beneath)


def _tile(name: str, value: object, written: str, beneath: str) -> Markup:
    figure = element("data", written, value=repr(value)) if value is not None else written
    return element(
        "div",
        element("dt", name),
        element("dd", figure, class_="figure"),
        element("dd", beneath),
        class_="tile",
    )
