"""The parts of charts: series of values, axes, the coordinates of marks, and the SVG around them."""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element, joined, shortened
from ops.analytics.report.period import Period

WIDE, NARROW = 1120, 548
# The height of a row in a chart that has a row for each name.
ROW = 30
# The width of a letter, rather too large on average.
CHARACTER = 7.4
TOP, RIGHT, BOTTOM = 12, 14, 38
# The ticks of an axis for shares of 1.
SHARES = (0, 0.25, 0.5, 0.75, 1)
_LEFT = 74


class Series(msgspec.Struct, frozen=True):
    """Values by the beginning of their stretch of time, with a name, a colour's class and a line's dashes."""

    name: str
    colour: str
    values: Mapping[int, float]
    dash: str | None = None


class Axis(msgspec.Struct, frozen=True):
    """The ticks of a vertical axis, from the lowest to the highest, and how they are written."""

    ticks: Sequence[float]
    written: units.Format
    is_logarithmic: bool = False

    def share(self, value: float) -> float:
        """The height of a value on the axis, from 0 to 1."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.is_logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.ticks[0]))
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


class Plot:
    """The coordinates of a chart over time."""

    def __init__(self, period: Period, width: int, height: int, left: int = _LEFT) -> None:
        self.period = period
        self.width, self.height, self.left = width, height, left
        self.bottom = height - BOTTOM
        self.right = width - RIGHT

    def x(self, at: float) -> float:
        span = self.period.until - self.period.since
        share = (at - self.period.since) / span
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)

    def y(self, share: float) -> float:
        return self.bottom - share * (self.bottom - TOP)

    def time_axis(self) -> Iterator[Markup]:
        yield element("line", class_="axis", x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom)
        most = max(3, (self.right - self.left) // 80)
        for at, time, date in units.time_ticks(self.period.since, self.period.until, most, self.period.zone):
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
        half = len(text) * CHARACTER / 2
        return "end" if x + half > self.width else "middle"


def legend(*entries: tuple[str, str, str | None]) -> Markup:
    """The legend of a chart; each entry has a name, a colour's class and, for a line, its dashes."""
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
    """The legend of series."""
    return legend(*((one.name, one.colour, (one.dash or "") if of_lines else None) for one in series))


def row_name(text: str, x: float, y: float, most: float) -> Markup:
    """The name of a row, to the left of it, cut to at most `most` letters."""
    said = element("title", text)
    return element("text", said, shortened(text, int(most)), class_="name", x=x, y=y, text_anchor="end")


def sized(label: str, width: int, height: int, *content: Markup) -> Markup:
    """A chart that is as wide as its container, and scrolls where that is narrow."""
    drawn = element("svg", joined(*content), viewBox=f"0 0 {width} {height}", role="img", aria_label=label)
    return element("div", drawn, class_="chart", role="group", aria_label=label, tabindex=0)
