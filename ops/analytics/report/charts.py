"""Charts over time, as SVG without a script: columns, lines, steps, and points in rows.

Colours are classes; the style sheet has a value of each for light and for dark pages. The meaning of a mark
appears when the pointer rests on it; the tables beneath the charts have all of the figures as text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element
from ops.analytics.report.period import Period
from ops.analytics.report.plot import (
    BOTTOM,
    CHARACTER,
    NARROW,
    ROW,
    TOP,
    WIDE,
    Axis,
    Plot,
    Series,
    row_name,
    sized,
)


class Point(msgspec.Struct, frozen=True):
    """A mark for something that happened at a time, in the row of a name; `said` is its tooltip."""

    row: str
    at: int
    colour: str
    said: str


def columns(label: str, period: Period, series: Sequence[Series], axis: Axis) -> Markup:
    """A column for each stretch of time, with a part for each series on top of the others."""
    plot = Plot(period, WIDE, 250)
    marks = []
    for begin, (first, last) in period.spans().items():
        left, right = plot.x(first), plot.x(last)
        gap = min(2.0, (right - left) / 5)
        base = 0.0
        parts = []
        for one in series:
            value = one.values.get(begin, 0)
            if value:
                low, high = plot.y(axis.share(base)), plot.y(axis.share(base + value))
                parts.append(
                    element(
                        "rect",
                        class_=one.colour,
                        x=left + gap / 2,
                        width=max(0.5, right - left - gap),
                        y=high,
                        height=low - high,
                    )
                )
                base += value
        if parts:
            marks.append(element("g", _tooltip(period, begin, series, axis.written), *parts))
    return _svg(label, plot, *plot.value_axis(axis), *marks, *plot.time_axis())


def lines(
    label: str,
    period: Period,
    series: Sequence[Series],
    axis: Axis,
    *,
    marked: Sequence[Point] = (),
    wide: bool = False,
) -> Markup:
    """A line for each series over time, with marks for what happened; without a value, a line has a gap."""
    plot = Plot(period, WIDE if wide else NARROW, 250)
    marks: list[Markup] = []
    middles = {begin: plot.x(sum(span) / 2) for begin, span in period.spans().items()}
    for one in series:
        for run in _runs(period, one.values):
            places = [(middles[begin], plot.y(axis.share(one.values[begin]))) for begin in run]
            if len(places) > 1:
                written = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
                marks.append(
                    element(
                        "polyline", class_=f"line {one.colour}", points=written, stroke_dasharray=one.dash
                    )
                )
            else:
                marks += [element("circle", class_=one.colour, cx=x, cy=y, r=2.5) for x, y in places]
    marks += _bands(plot, series, axis.written)
    marks += [_marked(plot, one) for one in marked]
    return _svg(label, plot, *plot.value_axis(axis), *marks, *plot.time_axis())


def steps(
    label: str,
    period: Period,
    values: Sequence[tuple[int, float]],
    colour: str,
    axis: Axis,
    *,
    height: int = 190,
    said: Callable[[int, float], str],
) -> Markup:
    """A line of values, each of which holds until the next one is known."""
    plot = Plot(period, NARROW, height)
    path, marks = [], []
    for place, (at, value) in enumerate(values):
        x, y = plot.x(at), plot.y(axis.share(value))
        path.append(f"M{x:.1f},{y:.1f}" if place == 0 else f"H{x:.1f}V{y:.1f}")
        marks.append(element("circle", element("title", said(at, value)), class_=colour, cx=x, cy=y, r=2))
    line = element("path", class_=f"line {colour}", d="".join(path))
    return _svg(label, plot, *plot.value_axis(axis), line, *marks, *plot.time_axis())


def points(label: str, period: Period, rows: Sequence[str], found: Sequence[Point]) -> Markup:
    """Marks over time for things that happened, in a row for each name."""
    left = 190
    plot = Plot(period, WIDE, TOP + ROW * len(rows) + BOTTOM, left)
    marks: list[Markup] = []
    for place, name in enumerate(rows):
        y = TOP + ROW * place + ROW / 2
        marks.append(element("line", class_="grid", x1=left, x2=plot.right, y1=y, y2=y))
        marks.append(row_name(name, left - 10, y + 4, (left - 10) / CHARACTER))
    for point in found:
        y = TOP + ROW * rows.index(point.row) + ROW / 2
        marks.append(
            element(
                "circle",
                element("title", point.said),
                class_=f"dot {point.colour}",
                cx=plot.x(point.at),
                cy=y,
                r=6,
            )
        )
    return _svg(label, plot, *marks, *plot.time_axis())


def _runs(period: Period, values: Mapping[int, float]) -> Iterator[list[int]]:
    """The stretches of time that have values, in lists of stretches that follow each other."""
    run: list[int] = []
    for begin in period.begins():
        if begin in values:
            run.append(begin)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bands(plot: Plot, series: Sequence[Series], written: units.Format) -> Iterator[Markup]:
    """The areas with tooltips, one for each stretch of time, over the lines."""
    for begin, (first, last) in plot.period.spans().items():
        if any(begin in one.values for one in series):
            left, right = plot.x(first), plot.x(last)
            yield element(
                "rect",
                _tooltip(plot.period, begin, series, written),
                class_="band",
                x=left,
                width=right - left,
                y=TOP,
                height=plot.bottom - TOP,
            )


def _marked(plot: Plot, point: Point) -> Markup:
    """A vertical line for something that happened, across the lines."""
    x = plot.x(point.at)
    return element(
        "g",
        element("title", point.said),
        element("line", class_="mark", x1=x, x2=x, y1=TOP, y2=plot.bottom),
        element("circle", class_=f"dot {point.colour}", cx=x, cy=TOP, r=5),
    )


def _tooltip(period: Period, begin: int, series: Sequence[Series], written: units.Format) -> Markup:
    said = [
        f"{one.name}: {written(one.values[begin])}" for one in series if one.values.get(begin) is not None
    ]
    return element("title", "\n".join([f"{period.minute(begin)} {period.time_zone}, {period.bucket}", *said]))


def _svg(label: str, plot: Plot, *content: Markup) -> Markup:
    return sized(label, plot.width, plot.height, *content)
