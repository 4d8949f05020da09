"""Charts as SVG, without a script: columns, lines and points over time, bars by name, a grid of hours.

Colours are classes, whose values the style sheet has, one for light and one for dark. What a mark stands for
appears when the pointer rests on it; the tables beneath the charts say all of it in words.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element, joined, shortened
from ops.analytics.report.period import Period

WIDE, NARROW = 1120, 548
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 38
# How wide a letter is at most, on average.
_CHARACTER = 7.4
_ROW = 30
_HOURS = 24


class Series(msgspec.Struct, frozen=True):
    """Values by when their stretch of time begins, with a name and the class of a colour."""

    name: str
    colour: str
    values: Mapping[int, float]
    dash: str | None = None


class Axis(msgspec.Struct, frozen=True):
    """The places of a vertical axis, rising, and how they are written."""

    ticks: Sequence[float]
    written: units.Format
    is_logarithmic: bool = False

    def share(self, value: float) -> float:
        """How far up a value stands, from 0 to 1."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.is_logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.ticks[0]))
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


class Bar(msgspec.Struct, frozen=True):
    """What a name has of each part, and a remark on it."""

    name: str
    parts: Sequence[tuple[str, str, float]]
    remark: str


class Point(msgspec.Struct, frozen=True):
    """Something that happened, in the row of a name."""

    row: str
    at: int
    colour: str
    said: str


class Shade(msgspec.Struct, frozen=True):
    """A cell of an hour of the day: how dark, from 0 to 1, what stands in it, and what it means."""

    share: float
    written: str
    said: str


class _Plot:
    """Where things are in a chart over time."""

    def __init__(self, period: Period, width: int, height: int, left: int = _LEFT) -> None:
        self.period = period
        self.width, self.height, self.left = width, height, left
        self.bottom = height - _BOTTOM
        self.right = width - _RIGHT

    def x(self, at: float) -> float:
        span = self.period.until - self.period.since
        share = (at - self.period.since) / span
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)

    def y(self, share: float) -> float:
        return self.bottom - share * (self.bottom - _TOP)

    def time_axis(self) -> Iterator[Markup]:
        yield element("line", class_="axis", x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom)
        most = max(3, (self.right - self.left) // 80)
        for at, time, date in units.time_ticks(self.period.since, self.period.until, most):
            x = self.x(at)
            yield element("line", class_="axis", x1=x, x2=x, y1=self.bottom, y2=self.bottom + 4)
            lines = [one for one in (time, date) if one]
            for place, line in enumerate(lines):
                yield element(
                    "text", line, x=x, y=self.bottom + 17 + 15 * place, text_anchor=self._anchor(x, line)
                )

    def value_axis(self, axis: Axis) -> Iterator[Markup]:
        for tick in axis.ticks:
            y = self.y(axis.share(tick))
            yield element("line", class_="grid", x1=self.left, x2=self.right, y1=y, y2=y)
            yield element("text", axis.written(tick), x=self.left - 8, y=y + 4, text_anchor="end")

    def _anchor(self, x: float, text: str) -> str:
        half = len(text) * _CHARACTER / 2
        return "end" if x + half > self.width else "middle"


def columns(label: str, period: Period, series: Sequence[Series], axis: Axis, *, width: int = WIDE) -> Markup:
    """What there was in each stretch of time, one part on the other."""
    plot = _Plot(period, width, 250)
    marks = []
    for begin in period.begins():
        left, right = plot.x(begin), plot.x(begin + period.bucket_ms)
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


def lines(label: str, period: Period, series: Sequence[Series], axis: Axis, *, width: int = NARROW) -> Markup:
    """How values went over time; where there is none, the line has a gap."""
    plot = _Plot(period, width, 250)
    marks: list[Markup] = []
    for one in series:
        for run in _runs(period, one.values):
            places = [(plot.x(period.middle(begin)), plot.y(axis.share(one.values[begin]))) for begin in run]
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
    return _svg(label, plot, *plot.value_axis(axis), *marks, *plot.time_axis())


def steps(
    label: str,
    period: Period,
    values: Sequence[tuple[int, float]],
    colour: str,
    axis: Axis,
    *,
    width: int = NARROW,
    height: int = 190,
    said: Callable[[int, float], str],
) -> Markup:
    """A value that stays as it is until the next one is known."""
    plot = _Plot(period, width, height)
    path, marks = [], []
    for place, (at, value) in enumerate(values):
        x, y = plot.x(at), plot.y(axis.share(value))
        path.append(f"M{x:.1f},{y:.1f}" if place == 0 else f"H{x:.1f}V{y:.1f}")
        marks.append(element("circle", element("title", said(at, value)), class_=colour, cx=x, cy=y, r=2))
    line = element("path", class_=f"line {colour}", d="".join(path))
    return _svg(label, plot, *plot.value_axis(axis), line, *marks, *plot.time_axis())


def points(label: str, period: Period, rows: Sequence[str], found: Sequence[Point]) -> Markup:
    """When things happened, a row for each name."""
    left = 190
    plot = _Plot(period, WIDE, _TOP + _ROW * len(rows) + _BOTTOM, left)
    marks: list[Markup] = []
    for place, name in enumerate(rows):
        y = _TOP + _ROW * place + _ROW / 2
        marks.append(element("line", class_="grid", x1=left, x2=plot.right, y1=y, y2=y))
        marks.append(_name(name, left - 10, y + 4, (left - 10) / _CHARACTER))
    for point in found:
        y = _TOP + _ROW * rows.index(point.row) + _ROW / 2
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


def bars(label: str, found: Sequence[Bar], *, width: int = NARROW) -> Markup:
    """How much each name has, one part beside the other, with a remark at the end."""
    left = 170 if width == NARROW else 240
    remark = max(len(one.remark) for one in found) * _CHARACTER + 12
    most = max(sum(value for *_, value in one.parts) for one in found) or 1
    room = width - left - remark
    marks: list[Markup] = []
    for place, one in enumerate(found):
        top = _TOP + _ROW * place
        x = float(left)
        drawn = []
        for _, colour, value in one.parts:
            if value:
                wide = value / most * room
                drawn.append(element("rect", class_=colour, x=x, y=top + 5, width=wide, height=_ROW - 10))
                x += wide
        said = "\n".join(f"{name}: {units.count(value)}" for name, _, value in one.parts)
        marks.append(_name(one.name, left - 10, top + _ROW / 2 + 4, (left - 10) / _CHARACTER))
        marks.append(element("g", element("title", f"{one.name}\n{said}"), *drawn))
        marks.append(element("text", one.remark, class_="remark", x=x + 8, y=top + _ROW / 2 + 4))
    height = _TOP + _ROW * len(found) + 6
    return _sized(label, width, height, *marks)


def hours(label: str, rows: Mapping[str, Mapping[int, Shade]]) -> Markup:
    """A grid of the hours of a day, a row for each name."""
    left, head = 190, 24
    wide = (WIDE - left - _RIGHT) / _HOURS
    marks: list[Markup] = [
        element("text", f"{hour:02d}", x=left + wide * (hour + 0.5), y=16, text_anchor="middle")
        for hour in range(_HOURS)
    ]
    for place, (name, shades) in enumerate(rows.items()):
        top = head + _ROW * place
        marks.append(_name(name, left - 10, top + _ROW / 2 + 4, (left - 10) / _CHARACTER))
        for hour in range(_HOURS):
            cell = {"x": left + wide * hour + 1, "y": top + 1, "width": wide - 2, "height": _ROW - 2, "rx": 3}
            shade = shades.get(hour)
            if shade is None:
                marks.append(element("rect", class_="empty", **cell))
                continue
            opacity = f"{0.06 + 0.56 * shade.share:.2f}"
            marks.append(
                element(
                    "g",
                    element("title", shade.said),
                    element("rect", class_="failed", fill_opacity=opacity, **cell),
                    element(
                        "text",
                        shade.written,
                        class_="cell",
                        x=left + wide * (hour + 0.5),
                        y=top + _ROW / 2 + 4,
                        text_anchor="middle",
                    ),
                )
            )
    return _sized(label, WIDE, head + _ROW * len(rows) + 4, *marks)


def legend(*entries: tuple[str, str, str | None]) -> Markup:
    """What the colours of a chart stand for: name, class and, of a line, its dashes."""
    items = []
    for name, colour, dash in entries:
        mark = (
            element("rect", class_=colour, width=12, height=12, rx=2)
            if dash is None
            else element(
                "line", class_=f"line {colour}", x1=0, x2=20, y1=6, y2=6, stroke_dasharray=dash or None
            )
        )
        width = 12 if dash is None else 20
        swatch = element("svg", mark, width=width, height=12, viewBox=f"0 0 {width} 12", aria_hidden="true")
        items.append(element("li", swatch, element("bdi", name)))
    return element("ul", *items, class_="legend")


def legend_of(series: Sequence[Series], *, of_lines: bool = False) -> Markup:
    """The same for series."""
    return legend(*((one.name, one.colour, (one.dash or "") if of_lines else None) for one in series))


def _runs(period: Period, values: Mapping[int, float]) -> Iterator[list[int]]:
    """The stretches of time that have values, as far as they follow each other."""
    run: list[int] = []
    for begin in period.begins():
        if begin in values:
            run.append(begin)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bands(plot: _Plot, series: Sequence[Series], written: units.Format) -> Iterator[Markup]:
    """What the pointer rests on between the lines: the whole height of a stretch of time."""
    for begin in plot.period.begins():
        if any(begin in one.values for one in series):
            left, right = plot.x(begin), plot.x(begin + plot.period.bucket_ms)
            yield element(
                "rect",
                _tooltip(plot.period, begin, series, written),
                class_="band",
                x=left,
                width=right - left,
                y=_TOP,
                height=plot.bottom - _TOP,
            )


def _tooltip(period: Period, begin: int, series: Sequence[Series], written: units.Format) -> Markup:
    said = [
        f"{one.name}: {written(one.values[begin])}" for one in series if one.values.get(begin) is not None
    ]
    return element("title", "\n".join([f"{units.minute(begin)} UTC, {period.bucket}", *said]))


def _name(text: str, x: float, y: float, most: float) -> Markup:
    said = element("title", text)
    return element("text", said, shortened(text, int(most)), class_="name", x=x, y=y, text_anchor="end")


def _svg(label: str, plot: _Plot, *content: Markup) -> Markup:
    return _sized(label, plot.width, plot.height, *content)


def _sized(label: str, width: int, height: int, *content: Markup) -> Markup:
    drawn = element("svg", joined(*content), viewBox=f"0 0 {width} {height}", role="img", aria_label=label)
    return element("div", drawn, class_="chart", role="region", aria_label=label, tabindex=0)
