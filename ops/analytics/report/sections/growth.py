"""The section about growth: of the log and the file, and the parts of the log."""

from markupsafe import Markup

from ops.analytics.report import charts, section, stacks, units
from ops.analytics.report.grids import Bar, bars
from ops.analytics.report.markup import joined
from ops.analytics.report.plot import WIDE, Axis, Series
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.source import Source


def growth(source: Source) -> Section:
    """Events over time, by table and by type; the size of the log, and of the file."""
    rows = source.rows(
        "SELECT bucket, count(*), max(position), sum(size) FROM period_events GROUP BY bucket ORDER BY bucket"
    )
    title = "Growth"
    if not rows:
        nothing = section.nothing("No event was recorded in this period.")
        return Section("growth", title, [nothing, _file(source)])
    events, size_bytes = sum(row[1] for row in rows), sum(row[3] for row in rows)
    days = (source.period.until - source.period.since) / units.DAY
    lead = joined(
        f"{units.count(events)} events were recorded, {units.size(size_bytes)} of text:"
        f" {units.count(events / days)} a day, {units.size(size_bytes / events)} each."
    )
    figures = [_by_table(source), _log(source, rows), _file(source), _by_type(source)]
    return Section("growth", title, figures, lead)


def _by_table(source: Source) -> Markup:
    rows = source.rows("SELECT bucket, table_name, count(*) FROM period_events GROUP BY ALL ORDER BY ALL")
    return stacks.by_name(source, f"Events recorded in each {source.period.bucket}, by table", rows)


def _log(source: Source, rows: list[tuple[int, int, int, int]]) -> Markup:
    period = source.period
    reached = {bucket: position for bucket, _, position, _ in rows}
    known = 0
    for begin in period.begins():
        known = reached.setdefault(begin, known)
    [(before,)] = source.rows(
        f"SELECT coalesce(max(position), 0) FROM events WHERE recorded_at < {period.since}"
    )
    values = {begin: max(position, before) for begin, position in reached.items()}
    label = "Events in the log, in all"
    columns = (
        section.begins(period),
        Column("Events", units.count),
        Column("New", units.count),
        Column("Text", units.size),
    )
    figures = [(bucket, position, new, size) for bucket, new, position, size in rows]
    axis = Axis(units.round_ticks(max(values.values())), units.count)
    return section.figure(
        label,
        charts.lines(label, period, [Series("events", "c1", values)], axis),
        section.folded(columns, figures, caption=label),
    )


def _file(source: Source) -> Markup:
    period = source.period
    rows = source.rows(
        "SELECT timestamp, name, position, plain_size, size FROM snapshots WHERE in_history"
        f" AND timestamp >= {period.since} AND timestamp <= {period.until} ORDER BY timestamp"
    )
    label = "Size of the database at each backup"
    if not rows:
        return section.figure(label, section.nothing("The lake has no backup that was made in this period."))
    columns = (
        section.when("Made", period),
        Column("Name"),
        Column("Position", units.count),
        Column("Database", units.size),
        Column("Backup", units.size),
    )
    axis = Axis(units.round_ticks(max(row[3] for row in rows)), units.size)
    chart = charts.steps(
        label,
        period,
        [(at, file) for at, _, _, file, _ in rows],
        "c2",
        axis,
        height=250,
        said=lambda at, file: f"{period.moment(at)} {period.time_zone}\n{units.size(file)}",
    )
    return section.figure(label, chart, section.folded(columns, rows, caption=label))


def _by_type(source: Source) -> Markup:
    rows = source.rows(
        "SELECT type, count(*) AS events, sum(size) FROM period_events"
        " GROUP BY type ORDER BY events DESC, type"
    )
    shown = rows[:MOST_NAMES]
    label = "Events by type"
    found = [
        Bar(name, [("events", "c1", events)], f"{units.count(events)} · {units.size(size_bytes)}")
        for name, events, size_bytes in shown
    ]
    columns = (Column("Type"), Column("Events", units.count), Column("Text", units.size))
    return section.wide_figure(
        label,
        bars(label, found, width=WIDE),
        section.folded(columns, shown, caption=label),
        note=section.left_out(len(rows), "types"),
    )
