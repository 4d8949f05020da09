"""The section about rate limits: the calls that they had left, over time and over the hours of a day."""

from collections import defaultdict
from typing import Any

from markupsafe import Markup

from ops.analytics.report import charts, section, units
from ops.analytics.report.grids import Shade, hours
from ops.analytics.report.markup import joined, named
from ops.analytics.report.plot import SHARES, Axis
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.source import Source

# How many observations a chart over half a page shows; with more, it shows the lowest in each stretch of
# time.
_MOST_OBSERVATIONS = 400
_MOST_CHARTS = 6
_MOST_DAYS = 31


def budgets(source: Source) -> Section:
    """The share that each budget had left: when it was lowest, by hour of the day, and over time."""
    title = "Rate-limit budgets"
    period = source.period
    source.execute(
        "CREATE TEMP TABLE observed AS SELECT id, epoch_ms(time) AS recorded_at, time, limit_remaining,"
        " limit_total, limit_remaining / limit_total AS share, coalesce(calls, 0) AS calls"
        " FROM rate_limit_burn(NULL) WHERE limit_total > 0 AND limit_remaining IS NOT NULL"
        f" AND recorded_at >= {period.since} AND recorded_at < {period.until}"
    )
    rows = source.records(
        "SELECT id, count(*) AS observations, min(limit_remaining) AS lowest,"
        " arg_max(limit_total, recorded_at) AS total, min(share) AS share, arg_min(recorded_at, share) AS at"
        " FROM observed GROUP BY id ORDER BY share, id"
    )
    if not rows:
        nothing = section.nothing("Nothing was heard of a rate limit in this period.")
        return Section("budgets", title, [nothing])
    lowest = rows[0]
    lead = joined(
        "Closest to its end was ",
        named(_name(lowest["id"])),
        f", with {units.count(lowest['lowest'])} of {units.count(lowest['total'])} left"
        f" at {period.minute(lowest['at'])} {period.time_zone}.",
    )
    shown = rows[:MOST_NAMES]
    step = max(1, (period.until - period.since) // _MOST_OBSERVATIONS)
    figures = [
        _hours(source, shown, section.left_out(len(rows), "budgets")),
        _days(source),
        _table(source, shown),
    ]
    figures += [_over_time(source, row, step) for row in shown[:_MOST_CHARTS]]
    return Section("budgets", title, figures, lead)


def _hours(source: Source, shown: list[Any], note: str) -> Markup:
    label = f"Least that was left, by hour of the day ({source.period.time_zone})"
    shades: defaultdict[str, dict[int, Shade]] = defaultdict(dict)
    for budget, hour, share, left, observations in source.rows(
        "SELECT id, CAST(hour(time) AS INTEGER) AS hour, min(share), min(limit_remaining),"
        " count(*) FROM observed GROUP BY ALL ORDER BY ALL"
    ):
        said = (
            f"{_name(budget)}, {hour:02d}:00 to {hour:02d}:59\nleast left: {units.count(left)}"
            f" ({units.percent(share)})\nobservations: {units.count(observations)}"
        )
        shades[_name(budget)][hour] = Shade(1 - share, f"{100 * share:.0f} %", said)
    rows = {_name(row["id"]): shades[_name(row["id"])] for row in shown}
    return section.wide_figure(label, hours(label, rows), note=note)


def _days(source: Source) -> Markup:
    """A grid of the least share that any budget had left, by day and hour."""
    zone = source.period.time_zone
    label = f"Least that was left of any budget, by day and hour ({zone})"
    shades: defaultdict[str, dict[int, Shade]] = defaultdict(dict)
    for day, hour, share, budget, calls in source.rows(
        "SELECT strftime(time, '%Y-%m-%d') AS day, CAST(hour(time) AS INTEGER), min(share),"
        " arg_min(id, share), sum(calls) FROM observed GROUP BY ALL ORDER BY ALL"
    ):
        said = (
            f"{day}, {hour:02d}:00 to {hour:02d}:59\nleast left: {units.percent(share)} of {_name(budget)}\n"
            f"calls known of, of all budgets: {units.count(calls)}"
        )
        shades[day][hour] = Shade(1 - share, f"{100 * share:.0f} %", said)
    newest = list(shades)[-_MOST_DAYS:]
    older = len(shades) - len(newest)
    note = f"The newest {_MOST_DAYS} days are shown, {units.count(older)} more are not." if older else ""
    return section.wide_figure(label, hours(label, {day: shades[day] for day in newest}), note=note)


def _table(source: Source, shown: list[Any]) -> Markup:
    throttled = dict(
        source.rows(
            "SELECT key, count(*) FROM period_events WHERE type = 'rate_limit.throttled.v1' GROUP BY key"
        )
    )
    title = "Budgets, the closest to its end first"
    columns = (
        Column("Budget"),
        Column("Limit", units.count),
        Column("Least left", units.count),
        Column("Share", units.percent),
        section.when("When", source.period),
        Column("Refused calls", units.count),
        Column("Observations", units.count),
    )
    figures = [
        (
            _name(row["id"]),
            row["total"],
            row["lowest"],
            row["share"],
            row["at"],
            throttled.get(_name(row["id"]), 0),
            row["observations"],
        )
        for row in shown
    ]
    return section.wide_figure(title, section.table(columns, figures, caption=title))


def _over_time(source: Source, budget: Any, step: int) -> Markup:
    found = source.rows(
        "SELECT arg_min(recorded_at, share), min(share), arg_min(limit_remaining, share) FROM observed"
        f" WHERE id = ? GROUP BY recorded_at // {step} ORDER BY 1",
        budget["id"],
    )
    label = f"{_name(budget['id'])}: left of {units.count(budget['total'])}"
    chart = charts.steps(
        label,
        source.period,
        [(at, share) for at, share, _ in found],
        "c1",
        Axis(SHARES, units.percent),
        said=lambda at, share: (
            f"{source.period.moment(at)} {source.period.time_zone}\nleft: {units.percent(share)}"
        ),
    )
    columns = (
        section.when("Observed", source.period),
        Column("Share", units.percent),
        Column("Left", units.count),
    )
    return section.figure(label, chart, section.folded(columns, found, caption=label))


def _name(budget: str) -> str:
    return budget.removeprefix("ratelimit:")
