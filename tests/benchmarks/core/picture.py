"""A picture of the rows that aim at something: how much of each target is reached, as bars in an SVG."""

from collections.abc import Iterable
from html import escape

from tests.benchmarks.core.rows import Row, said

_ROW_HEIGHT, _TEXT_WIDTH, _UNIT_WIDTH, _RIGHT = 22, 520, 220, 190
# The longest bar, in targets: a figure further beyond its target gets no longer one.
_MOST = 2.0


def svg(rows: Iterable[Row], title: str) -> str:
    """The picture; a bar that reaches the line reaches its target."""
    drawn = [(row, row.share) for row in rows if row.share is not None]
    width = _TEXT_WIDTH + int(_UNIT_WIDTH * _MOST) + _RIGHT
    height = _ROW_HEIGHT * (len(drawn) + 3)
    line = _TEXT_WIDTH + _UNIT_WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (row, share) in enumerate(drawn):
        top = _ROW_HEIGHT * (number + 2)
        assert row.figure is not None
        long = int(_UNIT_WIDTH * min(share, _MOST))
        colour = "#2a7f62" if row.is_met else "#c2703d"
        parts += [
            f'<text x="{_TEXT_WIDTH - 10}" y="{top + 13}" text-anchor="end">{escape(row.what)}</text>',
            f'<rect x="{_TEXT_WIDTH}" y="{top}" width="{long}" height="{_ROW_HEIGHT - 6}" fill="{colour}"/>',
            f'<text x="{width - _RIGHT + 8}" y="{top + 13}">'
            f"{escape(said(row.figure.median, row.unit))} ({escape(row.aim)})</text>",
        ]
    bottom = _ROW_HEIGHT * (len(drawn) + 2)
    parts.append(f'<path d="M{line} {_ROW_HEIGHT * 2 - 6}V{bottom}" stroke="black" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>", ""])
