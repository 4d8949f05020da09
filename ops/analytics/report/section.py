"""The parts of a report: sections with charts, each with a table of the same figures beneath it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element, joined, named
from ops.analytics.report.period import Period

# The most names in a chart or table; a remark says how many are left out.
MOST_NAMES = 12


class Column(msgspec.Struct, frozen=True):
    """A column of a table, and the function that writes its numbers; without `written`, it holds text."""

    name: str
    written: Callable[[Any], str] | None = None
    is_time: bool = False


def begins(period: Period) -> Column:
    """A column for the beginnings of stretches of time."""
    return Column(f"From ({period.time_zone})", period.minute, is_time=True)


def when(name: str, period: Period) -> Column:
    """A column for moments."""
    return Column(f"{name} ({period.time_zone})", period.moment, is_time=True)


class Section(msgspec.Struct, frozen=True):
    """A question as title, the answer in a sentence, and its figures. `anchor` is its id in the page."""

    anchor: str
    title: str
    figures: Sequence[Markup]
    lead: Markup = Markup()


def _figure(
    kind: str, title: str, chart: Markup, *beneath: Markup, legend: Markup | None = None, note: str = ""
) -> Markup:
    """A chart, with a title above and a table beneath."""
    remark = element("p", note, class_="note") if note else None
    return element(
        "figure", element("figcaption", title), legend, chart, remark, joined(*beneath), class_=kind
    )


# A figure over half of the page, and one over its whole width.
figure = partial(_figure, "figure")
wide_figure = partial(_figure, "figure wide")


def nothing(text: str) -> Markup:
    """The text of a figure or section that has nothing to show."""
    return element("p", text, class_="nothing")


def table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, caption: str) -> Markup:
    """A table of figures; `<data value>` has each number unrounded and without a unit."""
    head = element("tr", *(element("th", one.name, scope="col", class_=_class_of(one)) for one in columns))
    body = [
        element("tr", *(_cell(column, value) for column, value in zip(columns, row, strict=True)))
        for row in rows
    ]
    found = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    # A table may scroll, so it can get the focus of the keyboard.
    return element("div", found, class_="table", role="group", aria_label=caption, tabindex=0)


def folded(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, caption: str) -> Markup:
    """A table that the reader unfolds."""
    return element("details", element("summary", "Figures"), table(columns, rows, caption=caption))


def left_out(found: int, what: str, most: int = MOST_NAMES) -> str:
    """A remark on how many are not shown, if there are more than `most`."""
    more = found - most
    return f"{most} are shown, {units.count(more)} more {what} are not." if more > 0 else ""


def _cell(column: Column, value: Any) -> Markup:
    if value is None:
        return element("td", "–", class_=_class_of(column))
    if column.written is None:
        return element("td", value if isinstance(value, Markup) else named(str(value)))
    if column.is_time:
        return element("td", element("time", column.written(value), datetime=units.iso(value)))
    return element("td", element("data", column.written(value), value=repr(value)), class_=_class_of(column))


def _class_of(column: Column) -> str | None:
    return "number" if column.written and not column.is_time else None
