"""Charts by name, as SVG without a script: bars, and a grid of the hours of a day."""

from collections.abc import Mapping, Sequence

import msgspec
from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element
from ops.analytics.report.plot import CHARACTER, NARROW, RIGHT, ROW, TOP, WIDE, row_name, sized

_HOURS = 24


class Bar(msgspec.Struct, frozen=True):
    """The bar of a name: its parts, each with a name, a colour and a value, and a remark at its end."""

    name: str
    parts: Sequence[tuple[str, str, float]]
    remark: str


class Shade(msgspec.Struct, frozen=True):
    """A cell for an hour of the day: its darkness from 0 to 1, its text, and its tooltip."""

    share: float
    written: str
    said: str


def bars(label: str, found: Sequence[Bar], *, width: int = NARROW) -> Markup:
    """A bar for each name, with its parts side by side and a remark at the end."""
    left = 170 if width == NARROW else 240
    remark = max(len(one.remark) for one in found) * CHARACTER + 12
    most = max(sum(value for *_, value in one.parts) for one in found) or 1
    room = width - left - remark
    marks: list[Markup] = []
    for place, one in enumerate(found):
        top = TOP + ROW * place
        x = float(left)
        drawn = []
        for _, colour, value in one.parts:
            if value:
                wide = value / most * room
                drawn.append(element("rect", class_=colour, x=x, y=top + 5, width=wide, height=ROW - 10))
                x += wide
        said = "\n".join(f"{name}: {units.count(value)}" for name, _, value in one.parts)
        marks.append(row_name(one.name, left - 10, top + ROW / 2 + 4, (left - 10) / CHARACTER))
        marks.append(element("g", element("title", f"{one.name}\n{said}"), *drawn))
        marks.append(element("text", one.remark, class_="remark", x=x + 8, y=top + ROW / 2 + 4))
    height = TOP + ROW * len(found) + 6
    return sized(label, width, height, *marks)


def hours(label: str, rows: Mapping[str, Mapping[int, Shade]]) -> Markup:
    """A grid of the hours of a day, a row for each name."""
    left, head = 190, 24
    wide = (WIDE - left - RIGHT) / _HOURS
    marks: list[Markup] = [
        element("text", f"{hour:02d}", x=left + wide * (hour + 0.5), y=16, text_anchor="middle")
        for hour in range(_HOURS)
    ]
    for place, (name, shades) in enumerate(rows.items()):
        top = head + ROW * place
        marks.append(row_name(name, left - 10, top + ROW / 2 + 4, (left - 10) / CHARACTER))
        for hour in range(_HOURS):
            cell = {"x": left + wide * hour + 1, "y": top + 1, "width": wide - 2, "height": ROW - 2, "rx": 3}
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
                        y=top + ROW / 2 + 4,
                        text_anchor="middle",
                    ),
                )
            )
    return sized(label, WIDE, head + ROW * len(rows) + 4, *marks)
