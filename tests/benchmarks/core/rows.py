"""Rows of the table: what was measured, what is aimed at, and how both are printed and kept."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.benchmarks.core.driving import Measured
from tests.benchmarks.core.figures import Figure, ratio

_FORMATS = {
    "": "{:.2f}",
    "/s": "{:,.0f}/s",
    "ms": "{:.2f} ms",
    "µs": "{:.0f} µs",
    "s": "{:.2f} s",
    "bytes": "{:,.0f} bytes",
    "MB": "{:,.0f} MB",
}


class Row(NamedTuple):
    """One line of the table: a ratio (unit ``) or a figure with its unit; None where it can't be had here.

    `beside` says what it was made of, or why there is none. `target` is what is aimed at: at least that, or,
    with `at_most`, no more.
    """

    what: str
    figure: Figure | None
    unit: str = ""
    target: float | None = None
    at_most: bool = False
    beside: str = ""

    @classmethod
    def not_here(cls, what: str, reason: object, target: float | None = None) -> Self:
        return cls(what, None, target=target, beside=f"not here: {reason}")

    @property
    def share(self) -> float | None:
        """How much of the target is reached: 1 is all of it."""
        if self.figure is None or not self.target or not self.figure.median:
            return None
        reached = self.figure.median / self.target
        return 1 / reached if self.at_most else reached

    @property
    def is_met(self) -> bool | None:
        """True if the target is reached; None if there is no target, or nothing was measured."""
        return None if self.share is None else self.share >= 1

    @property
    def aim(self) -> str:
        if self.target is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {said(self.target, self.unit)}"

    @property
    def value(self) -> str:
        return "" if self.figure is None else said(self.figure.median, self.unit)

    @property
    def spread(self) -> str:
        """The least and the most of the rounds, without the unit."""
        if self.figure is None:
            return ""
        bare = _FORMATS[self.unit].partition("}")[0] + "}"
        return f"{bare.format(self.figure.least)} … {bare.format(self.figure.most)}"

    def line(self) -> str:
        """The row as the terminal shows it."""
        met = {True: "reached", False: "NOT YET", None: ""}[self.is_met]
        said = f"{self.what:<67} {self.value:>12} {self.aim:>9} {met:<8} {self.spread:<19} {self.beside}"
        return said.rstrip()


def said(value: float, unit: str) -> str:
    """A value with its unit."""
    return _FORMATS[unit].format(value)


def over(
    what: str, ours: Sequence[Measured], theirs: Sequence[Measured], *, target: float | None = None
) -> Row:
    """The row for the ratio of two sides' commands per second."""
    return Row(
        what,
        ratio([one.rate for one in ours], [one.rate for one in theirs]),
        target=target,
        beside=f"{median_of(ours, 'rate'):,.0f} and {median_of(theirs, 'rate'):,.0f} a second",
    )


def slower(
    what: str, ours: Sequence[Measured], theirs: Sequence[Measured], *, target: float | None = None
) -> Row:
    """The row for the ratio of two sides' median latencies."""
    return Row(
        what,
        ratio([one.p50 for one in ours], [one.p50 for one in theirs]),
        target=target,
        at_most=True,
        beside=f"{median_of(ours, 'p50'):.2f} and {median_of(theirs, 'p50'):.2f} ms",
    )


def median_of(rounds: Sequence[Measured], what: str) -> float:
    """The median of one of a round's figures: `rate`, `p50` or `p99`."""
    return Figure.of(getattr(one, what) for one in rounds).median


def machine_of_this_run() -> dict[str, Any]:
    """The machine that the figures were measured on, and when."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        # It tells of other work on the machine, if nothing was measured in the minute before.
        "load_average": round(os.getloadavg()[0], 1),
    }


class Kept(NamedTuple):
    """The results that a file keeps: the machine, and the rows, each with its subject."""

    machine: dict[str, Any]
    rows: list[tuple[str, Row]]

    @property
    def title(self) -> str:
        on = self.machine
        where = f"{on['processors']} × {on['processor']}, Python {on['python']}"
        return f"{where}, {on['measured_at']}, load average before it {on['load_average']}"

    def with_rest_of(self, file: Path) -> Self:
        """These results, with the file's rows of subjects that are not among these."""
        if not file.exists():
            return self
        subjects = {subject for subject, _ in self.rows}
        rest = [one for one in type(self).read(file).rows if one[0] not in subjects]
        return self._replace(rows=rest + self.rows)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The results from a file that `as_json` made."""
        told = json.loads(file.read_text(encoding="utf-8"))
        rows = []
        for one in told["rows"]:
            subject = one.pop("subject")
            one.pop("is_met")
            figure = [one.pop(which) for which in ("median", "least", "most")]
            rows.append((subject, Row(figure=None if figure[0] is None else Figure(*figure), **one)))
        return cls(told["machine"], rows)

    def as_json(self) -> str:
        """All that was measured; figures are median, least and most."""
        told = [
            {
                "subject": subject,
                "what": row.what,
                "unit": row.unit,
                "median": row.figure and row.figure.median,
                "least": row.figure and row.figure.least,
                "most": row.figure and row.figure.most,
                "target": row.target,
                "at_most": row.at_most,
                "is_met": row.is_met,
                "beside": row.beside,
            }
            for subject, row in self.rows
        ]
        return json.dumps({"machine": self.machine, "rows": told}, indent=2, ensure_ascii=False)
