"""The section about times: how long jobs waited for a worker, and how long their attempts ran."""

from typing import Any

from markupsafe import Markup

from ops.analytics.report import charts, units
from ops.analytics.report.markup import joined
from ops.analytics.report.plot import Axis, Series, legend_of
from ops.analytics.report.section import (
    Column,
    Section,
    begins,
    figure,
    folded,
    left_out,
    nothing,
    table,
    wide_figure,
)
from ops.analytics.report.source import Source
from ops.analytics.report.stacks import COLOURS

# Name, colour and dashes, by which lines are told apart without colours.
PERCENTILES = (("p50", "c1", ""), ("p95", "c2", "7 3"), ("p99", "c3", "2 3"))
# Above this ratio of longest to shortest, the axis is logarithmic: a linear one would show the longest alone.
_WIDE_SPREAD = 50


def latency(source: Source) -> Section:
    """Percentiles over time of the attempts that began in the period."""
    title = "Waiting and running"
    rows = source.records(
        f"SELECT bucket, count(*) AS attempts, {quantiles('wait_ms')}, {quantiles('duration_ms')}"
        " FROM period_attempts GROUP BY bucket ORDER BY bucket"
    )
    if not rows:
        return Section("latency", title, [nothing("No attempt at a job began in this period.")])
    [whole] = source.records(
        f"SELECT {quantiles('wait_ms')}, {quantiles('duration_ms')}, max(wait_ms) AS longest"
        " FROM period_attempts"
    )
    said = []
    if whole["wait_ms_p50"] is not None:
        said.append(
            f"Half of the attempts began within {units.duration(whole['wait_ms_p50'])} of when they were due,"
            f" 95 % within {units.duration(whole['wait_ms_p95'])}; the longest wait was"
            f" {units.duration(whole['longest'])}."
        )
    if whole["duration_ms_p50"] is not None:
        said.append(
            f" Half of them ran for {units.duration(whole['duration_ms_p50'])} at most, 95 % for"
            f" {units.duration(whole['duration_ms_p95'])}."
        )
    figures = [
        _percentiles(source, rows, "wait_ms", "Wait for a worker"),
        _percentiles(source, rows, "duration_ms", "Run time of an attempt"),
        _waits_by_queue(source),
    ]
    return Section("latency", title, figures, joined(*said))


def _waits_by_queue(source: Source) -> Markup:
    rows = source.rows(
        f"SELECT queue, count(*) AS attempts, {quantiles('wait_ms')}, max(wait_ms) AS longest"
        " FROM period_attempts WHERE wait_ms IS NOT NULL GROUP BY queue ORDER BY wait_ms_p95 DESC, queue"
    )
    label = f"Wait for a worker in each {source.period.bucket}, by queue: 95 % waited no longer"
    if not rows:
        return wide_figure(label, nothing("Nothing is known of it in this period."))
    over_time = source.rows(
        "SELECT queue, bucket, quantile_disc(wait_ms, 0.95) FROM period_attempts"
        " WHERE wait_ms IS NOT NULL GROUP BY queue, bucket"
    )
    colours = dict(zip((queue for queue, *_ in rows), COLOURS, strict=False))
    series = [
        Series(name, colour, {bucket: wait for queue, bucket, wait in over_time if queue == name})
        for name, colour in colours.items()
    ]
    columns = (
        Column("Queue"),
        Column("Attempts", units.count),
        *(Column(name, units.duration) for name, *_ in PERCENTILES),
        Column("Longest", units.duration),
    )
    axis = _axis([value for one in series for value in one.values.values()])
    return wide_figure(
        label,
        charts.lines(label, source.period, series, axis, wide=True),
        table(columns, rows[: len(colours)], caption=label),
        legend=legend_of(series, of_lines=True),
        note=left_out(len(rows), "queues", len(colours)),
    )


def quantiles(column: str) -> str:
    """The percentiles that are shown, in SQL; each is one of the values, not between two of them."""
    return ", ".join(
        f"quantile_disc({column}, {int(name[1:]) / 100}) AS {column}_{name}" for name, *_ in PERCENTILES
    )


def _percentiles(source: Source, rows: list[Any], column: str, title: str) -> Markup:
    series = [
        Series(
            name,
            colour,
            {row["bucket"]: row[f"{column}_{name}"] for row in rows if row[f"{column}_{name}"] is not None},
            dash,
        )
        for name, colour, dash in PERCENTILES
    ]
    label = f"{title}: percentiles of the attempts that began in each {source.period.bucket}"
    if not any(one.values for one in series):
        return figure(title, nothing("Nothing is known of it in this period."))
    figures = [
        (
            row["bucket"],
            row["attempts"],
            *(row[f"{column}_{name}"] for name, *_ in PERCENTILES),
        )
        for row in rows
    ]
    columns = (
        begins(source.period),
        Column("Attempts", units.count),
        *(Column(name, units.duration) for name, *_ in PERCENTILES),
    )
    axis = _axis([value for one in series for value in one.values.values()])
    return figure(
        label,
        charts.lines(label, source.period, series, axis),
        folded(columns, figures, caption=label),
        legend=legend_of(series, of_lines=True),
        note="Each step of the axis is several times the one below." if axis.is_logarithmic else "",
    )


def _axis(values: list[float]) -> Axis:
    lowest, highest = max(1, min(values)), max(1, *values)
    if highest / lowest > _WIDE_SPREAD:
        return Axis(units.logarithmic_ticks(lowest, highest), units.duration, is_logarithmic=True)
    return Axis(units.duration_ticks(highest), units.duration)
