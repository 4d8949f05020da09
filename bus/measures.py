"""Counts that are kept while commands run, at little cost; they may be read at any time.

Each object is written by one thread, so there is no lock. Any thread may read it, and at worst sees a sum and
counts that differ by the latest observations.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

# In seconds. A single command takes about one millisecond, one behind a full queue some seconds.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The number of commands in one group; a group takes 1,024 at most.
GROUP_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0)
# The name under which commands are counted that do not exist, or are a malformed part of a batch.
UNKNOWN = "unknown"
# The common name of everything beyond the limit of `Few`; no key has parentheses.
OTHERS = "(other)"


class Histogram:
    """How often values fell between two bounds. A value counts for the first bound that is not below it."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float] = DURATIONS) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulated(self) -> Iterator[tuple[str, int]]:
        """Each bound with the number of values up to it; the last bound is `+Inf`."""
        total = 0
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for name, count in zip(names, tuple(self._counts), strict=True):
            total += count
            yield name, total


class Tally:
    """How many commands of a name had an outcome: `accepted`, `repeated`, or the code of a refusal.

    The names are those of existing verbs or `UNKNOWN`, so their number is limited.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, name: str, outcome: str, count: int = 1) -> None:
        """Counts commands of one name and outcome."""
        key = (name, outcome)
        self._counts[key] = self._counts.get(key, 0) + count

    def add_all(self, other: "Tally") -> None:
        """Adds the counts of another tally."""
        for (name, outcome), count in other:
            self.add(name, outcome, count)

    def replace(self, outcome: str) -> "Tally":
        """A tally of the same commands, all with this outcome."""
        replaced = Tally()
        for (name, _), count in self:
            replaced.add(name, outcome, count)
        return replaced

    def __iter__(self) -> Iterator[tuple[tuple[str, str], int]]:
        # A copy, because another thread may count meanwhile.
        return iter(tuple(self._counts.items()))


class Few:
    """The first `limit` names that came, of those that clients choose; all others become `OTHERS`.

    So counts by such names stay limited in number, and each name keeps its meaning.
    """

    __slots__ = ("_limit", "_names")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: set[tuple[str, ...]] = set()

    def named(self, *names: str) -> tuple[str, ...]:
        """These names, or `OTHERS` in place of each if the limit is reached."""
        if names in self._names:
            return names
        if len(self._names) >= self._limit:
            return (OTHERS,) * len(names)
        self._names.add(names)
        return names
