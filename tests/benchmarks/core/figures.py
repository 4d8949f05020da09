"""The arithmetic of all that is measured: rounds, their medians, their spread, and what a comparison says.

Two sides that are compared take turns, and the ratio is taken round by round: what both of a round had in
common (the minute, the neighbours on the machine) goes out of it. A figure is the median of the rounds, with
the least and the most of them beside it.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self


class Figure(NamedTuple):
    """The median of some rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The figure of these values, which need no order.

        Raises:
            ValueError: there is none.
        """
        ordered = sorted(values)
        if not ordered:
            raise ValueError("nothing was measured")
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, as a share of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """The ratio of our values to theirs, taken round by round."""
    return Figure.of(quotients(ours, theirs))


def quotients(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Each of ours over the one of theirs that was measured in the same round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def percentile(values: Iterable[float], which: float) -> float:
    """The percentile of values in any order: the least of them that `which` percent do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    place = -int(-len(ordered) * which // 100)
    return ordered[max(place - 1, 0)]


class Comparison(NamedTuple):
    """A comparison of a cost before and after a change: quotients new over old, one for each round."""

    quotients: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.quotients)

    def is_worse(self, more_than: float) -> bool:
        """True if the cost grew by over `more_than` (0.05 is 5 %), and not only by chance.

        Three quarters of the rounds have to say so: a single one that something else disturbed says nothing.
        """
        return percentile(self.quotients, 25) > 1 + more_than

    def is_better(self, by_more_than: float) -> bool:
        """Likewise, if the cost shrank."""
        return percentile(self.quotients, 75) < 1 - by_more_than
