"""The section about attempts: how many there were, how many failed, and of which type and tool."""

from typing import Any

from markupsafe import Markup

from ops.analytics.report import charts, section, stacks, units
from ops.analytics.report.charts import Point
from ops.analytics.report.grids import Bar, bars
from ops.analytics.report.markup import joined, listed, shortened
from ops.analytics.report.plot import SHARES, Axis, Series, legend_of
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.sections.configurations import changes_of, said
from ops.analytics.report.source import Source
from ops.analytics.report.stacks import OTHER

# The ways in which an attempt may end, with the word and the colour of each.
OUTCOMES = {
    "completed": ("completed", "done"),
    "failed": ("failed", "failed"),
    "timeout": ("timed out", "timeout"),
    "rescued": ("rescued", "rescued"),
}
_COUNTS = ", ".join(
    [f"count(*) FILTER (status = '{status}') AS {status}" for status in OUTCOMES]
    + [f"count(*) FILTER (status NOT IN ({', '.join(map(repr, OUTCOMES))})) AS other"]
)
_WORDS = (*OUTCOMES.values(), OTHER)
_COLUMNS = (
    Column("Ended", units.count),
    *(Column(word.capitalize(), units.count) for word, _ in _WORDS),
    Column("Failure rate", units.percent),
)


def throughput(source: Source) -> Section:
    """Attempts by how they ended: over time, by type and by tool."""
    rows = source.records(
        f"SELECT bucket, count(*) AS ended, {_COUNTS}, {failure_rate()} AS rate FROM ended_attempts"
        " GROUP BY bucket ORDER BY bucket"
    )
    title = "Throughput and failures"
    if not rows:
        return Section("throughput", title, [section.nothing("No attempt at a job ended in this period.")])
    figures = [
        _over_time(source, rows),
        _by(source, "type"),
        _by(source, "tool"),
        _failures_by_tool(source),
        _types_over_time(source),
        _errors(source),
    ]
    return Section("throughput", title, figures, _lead(source, rows))


def failure_rate() -> str:
    """The share of failed and timed out attempts among those that ended, in SQL."""
    return "count(*) FILTER (status IN ('failed', 'timeout')) / nullif(count(*), 0)"


def _lead(source: Source, rows: list[Any]) -> Markup:
    bucket, written = source.period.bucket, source.period.minute
    busiest = max(rows, key=lambda row: row["ended"])
    worst = max(rows, key=lambda row: (row["failed"] + row["timeout"], row["rate"]))
    lines = [
        f"Most attempts, {units.count(busiest['ended'])}, ended in the {bucket} from"
        f" {written(busiest['bucket'])}."
    ]
    if worst["failed"] + worst["timeout"]:
        lines.append(
            f" Most failures, {units.count(worst['failed'] + worst['timeout'])} of"
            f" {units.count(worst['ended'])}, were in the {bucket} from {written(worst['bucket'])}."
        )
    return joined(*lines)


def _over_time(source: Source, rows: list[Any]) -> Markup:
    series = [
        Series(word, colour, {row["bucket"]: row[key] for row in rows if row[key]})
        for key, (word, colour) in {**OUTCOMES, "other": OTHER}.items()
    ]
    shown = [one for one in series if one.values]
    axis = Axis(units.whole_ticks(max(row["ended"] for row in rows)), units.count)
    label = f"Attempts that ended in each {source.period.bucket}, by how"
    figures = [
        (row["bucket"], row["ended"], *(row[key] for key in (*OUTCOMES, "other")), row["rate"])
        for row in rows
    ]
    return section.wide_figure(
        label,
        charts.columns(label, source.period, shown, axis),
        section.folded((section.begins(source.period), *_COLUMNS), figures, caption=label),
        legend=legend_of(shown),
    )


def _by(source: Source, column: str) -> Markup:
    rows = source.records(
        f"SELECT {column} AS name, count(*) AS ended, {_COUNTS}, {failure_rate()} AS rate,"
        " quantile_disc(duration_ms, 0.5) AS p50, quantile_disc(duration_ms, 0.95) AS p95"
        f" FROM ended_attempts GROUP BY {column} ORDER BY ended DESC, name"
    )
    keys = (*OUTCOMES, "other")
    shown = rows[:MOST_NAMES]
    found = [
        Bar(
            _name(row["name"], column),
            [(word, colour, row[key]) for key, (word, colour) in zip(keys, _WORDS, strict=True)],
            f"{units.count(row['ended'])} · {units.percent(row['rate'])} failed",
        )
        for row in shown
    ]
    label = f"Attempts that ended, by {column}"
    columns = (
        Column(column.capitalize()),
        *_COLUMNS,
        Column("Run p50", units.duration),
        Column("Run p95", units.duration),
    )
    figures = [
        (
            _name(row["name"], column),
            row["ended"],
            *(row[key] for key in keys),
            row["rate"],
            row["p50"],
            row["p95"],
        )
        for row in shown
    ]
    return section.figure(
        label,
        bars(label, found),
        section.folded(columns, figures, caption=label),
        note=section.left_out(len(rows), f"{column}s"),
    )


def _failures_by_tool(source: Source) -> Markup:
    rows = source.records(
        "SELECT tool, bucket, count(*) AS ended,"
        f" count(*) FILTER (status IN ('failed', 'timeout')) AS failed, {failure_rate()} AS rate,"
        " sum(failed) OVER (PARTITION BY tool) AS of_tool"
        " FROM ended_attempts WHERE tool IS NOT NULL GROUP BY tool, bucket"
        " ORDER BY of_tool DESC, tool, bucket"
    )
    label = f"Failure rate in each {source.period.bucket}, by tool, and changes of its configuration"
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    if not rows:
        return section.wide_figure(label, section.nothing("No attempt that ended says with which tool."))
    colours = dict(zip(tools, stacks.COLOURS, strict=False))
    series = [
        Series(tool, colour, {row["bucket"]: row["rate"] for row in rows if row["tool"] == tool})
        for tool, colour in colours.items()
    ]
    marked = [
        Point(row["tool_name"], row["changed_at"], colours[row["tool_name"]], said(row, source.period))
        for row in changes_of(source)
        if row["tool_name"] in colours
    ]
    columns = (
        Column("Tool"),
        section.begins(source.period),
        Column("Ended", units.count),
        Column("Failed", units.count),
        Column("Failure rate", units.percent),
    )
    figures = [tuple(row.values())[:5] for row in rows if row["tool"] in colours]
    return section.wide_figure(
        label,
        charts.lines(label, source.period, series, Axis(SHARES, units.percent), marked=marked, wide=True),
        section.folded(columns, figures, caption=label),
        legend=legend_of(series, of_lines=True),
        note=section.left_out(len(tools), "tools", len(colours)),
    )


def _types_over_time(source: Source) -> Markup:
    rows = source.rows(
        f"SELECT bucket, coalesce(type, '{_name(None, 'type')}'), count(*) FROM ended_attempts"
        " GROUP BY ALL ORDER BY ALL"
    )
    return stacks.by_name(source, f"Attempts that ended in each {source.period.bucket}, by type", rows)


def _errors(source: Source) -> Markup:
    rows = source.rows(
        "SELECT error_message, count(*) AS times, max(completed_at), list(DISTINCT type ORDER BY type)"
        " FROM ended_attempts WHERE error_message IS NOT NULL GROUP BY error_message"
        f" ORDER BY times DESC, error_message LIMIT {MOST_NAMES}"
    )
    title = "Errors that came most often"
    if not rows:
        return section.wide_figure(title, section.nothing("No attempt ended with an error."))
    columns = (
        Column("Error"),
        Column("Times", units.count),
        Column("Types"),
        section.when("Last", source.period),
    )
    figures = [(shortened(error, 300), times, listed(types, 3), last) for error, times, last, types in rows]
    return section.wide_figure(title, section.table(columns, figures, caption=title))


def _name(value: str | None, column: str) -> str:
    return f"no {column}" if value is None else value
