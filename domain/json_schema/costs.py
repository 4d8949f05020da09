"""What work costs at most, as a linear function of a document's size.

Nanoseconds of a slow machine, so that what is allowed by them takes less anywhere. How they were found is
told in `tests/properties/domain/json_schema`, which holds them against what generated schemas take.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Beyond this, more makes no difference; doubled a thousand times, a cost would be no number any more.
_ENDLESS = 1e18


class Size(NamedTuple):
    """How large a document is, in what work grows with."""

    # Members and items, each number that is slow to compare counted as many.
    values: float
    size_bytes: int
    # The values, times the length of the longest array that has arrays or objects.
    pairs: float
    # The values, times the members of the widest object.
    members: float
    # The longest path to a value.
    path_bytes: int
    depth: int
    # Members and items, each counted once.
    number: int = 0


class Cost(NamedTuple):
    """The most nanoseconds that something takes: `fixed`, and for each value, byte and so on."""

    fixed: float = 0
    value: float = 0
    byte: float = 0
    pair: float = 0
    member: float = 0

    def of(self, size: Size) -> float:
        """The most nanoseconds for a document of that size."""
        return (
            self.fixed
            + self.value * size.values
            + self.byte * size.size_bytes
            + self.pair * size.pairs
            + self.member * size.members
        )

    def plus(self, *others: "Cost") -> "Cost":
        """All of them, one after the other."""
        return total((self, *others))

    def times(self, count: float) -> "Cost":
        """So many times the same."""
        if count in (0, 1):
            return self if count else NOTHING
        fixed, value, byte, pair, member = self
        return _capped(fixed * count, value * count, byte * count, pair * count, member * count)

    def each(self) -> "Cost":
        """The same for each value inside, which together are no larger than the whole."""
        fixed, value, byte, pair, member = self
        return Cost(0, min(fixed + value, _ENDLESS), byte, pair, member)


NOTHING = Cost()


# Written out, since it is done some ten thousand times for a large schema.
def total(costs: Iterable[Cost]) -> Cost:
    """All of them, one after the other."""
    fixed = value = byte = pair = member = 0.0
    for cost in costs:
        if cost is not NOTHING:
            fixed += cost[0]
            value += cost[1]
            byte += cost[2]
            pair += cost[3]
            member += cost[4]
    return _capped(fixed, value, byte, pair, member)


def highest(costs: Iterable[Cost]) -> Cost:
    """At least as much as any one of them, and as much as all of them on different parts of a document."""
    found = [cost for cost in costs if cost is not NOTHING]
    if len(found) < 2:
        return found[0] if found else NOTHING
    return Cost(*map(max, *found))


def _capped(fixed: float, value: float, byte: float, pair: float, member: float) -> Cost:
    if fixed + value + byte + pair + member > _ENDLESS:
        return Cost(_ENDLESS, _ENDLESS, _ENDLESS, _ENDLESS, _ENDLESS)
    return Cost(fixed, value, byte, pair, member)
