"""Upper bounds of work, as linear functions of a document's size.

They are nanoseconds of a slow machine, so that the allowed work takes less on others. The tests in
`tests/properties/domain/json_schema` tell how they were found, and compare them with what generated schemas
take.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Higher costs are cut to this one: doubled a thousand times, a cost would overflow.
_ENDLESS = 1e18


class Size(NamedTuple):
    """The size of a document, in the quantities that work grows with."""

    # Members and items; a number that is slow to compare counts as several.
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
        """The cost of all of them, one after the other."""
        return total((self, *others))

    def times(self, count: float) -> "Cost":
        """The cost of the same work `count` times."""
        if count in (0, 1):
            return self if count else NOTHING
        fixed, value, byte, pair, member = self
        return _capped(fixed * count, value * count, byte * count, pair * count, member * count)

    def each(self) -> "Cost":
        """The cost of the same work for each value inside; together these are no larger than the whole."""
        fixed, value, byte, pair, member = self
        return Cost(0, min(fixed + value, _ENDLESS), byte, pair, member)


NOTHING = Cost()


# Written out field by field, since it is called some ten thousand times for a large schema.
def total(costs: Iterable[Cost]) -> Cost:
    """The cost of all of them, one after the other."""
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
    """A cost as high as that of each of them, and as that of all of them on different parts of a document."""
    found = [cost for cost in costs if cost is not NOTHING]
    if len(found) < 2:
        return found[0] if found else NOTHING
    return Cost(*map(max, *found))


def _capped(fixed: float, value: float, byte: float, pair: float, member: float) -> Cost:
    if fixed + value + byte + pair + member > _ENDLESS:
        return Cost(_ENDLESS, _ENDLESS, _ENDLESS, _ENDLESS, _ENDLESS)
    return Cost(fixed, value, byte, pair, member)
