"""Counts in each stretch of time, divided by name: a chart of columns, and the table beneath."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from markupsafe import Markup

from ops.analytics.report import charts, units
from ops.analytics.report.plot import Axis, Series, legend_of
from ops.analytics.report.section import Column, begins, folded, wide_figure
from ops.analytics.report.source import Source

# The colours of names that have one of their own: more colours could not be told apart.
COLOURS = ("c1", "c2", "c3", "c4", "c5", "c6")
OTHER = ("other", "other")


def by_name(source: Source, label: str, counted: Iterable[tuple[int, str, int]]) -> Markup:
    """Columns with a part for each of the most frequent names, and one for all others together.

    `counted` are rows of the beginning of a stretch of time, a name and a number.
    """
    totals: Counter[str] = Counter()
    values: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for bucket, name, number in counted:
        totals[name] += number
        values[name][bucket] = number
    most = sorted(totals, key=lambda name: (-totals[name], name))[: len(COLOURS)]
    series = [Series(name, colour, values[name]) for name, colour in zip(most, COLOURS, strict=False)]
    rest: Counter[int] = Counter()
    for name in totals.keys() - set(most):
        rest.update({bucket: int(number) for bucket, number in values[name].items()})
    if rest:
        series.append(Series(*OTHER, rest))
    return stacked(source, label, series)


def stacked(source: Source, label: str, series: list[Series]) -> Markup:
    """Columns of the series that have any value, with their legend and table."""
    shown = [one for one in series if one.values]
    known = sorted({bucket for one in shown for bucket in one.values})
    highest = max(sum(one.values.get(begin, 0) for one in shown) for begin in known)
    columns = (begins(source.period), *(Column(one.name, units.count) for one in shown))
    rows = [(begin, *(one.values.get(begin, 0) for one in shown)) for begin in known]
    return wide_figure(
        label,
        charts.columns(label, source.period, shown, Axis(units.whole_ticks(highest), units.count)),
        folded(columns, rows, caption=label),
        legend=legend_of(shown),
    )
