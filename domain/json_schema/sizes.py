"""The size of a document, in the quantities that work grows with, and numbers that are slow to compare."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from domain.json_schema.costs import Size

# Numbers are compared exactly. Whole ones of up to 53 bits are quick, fractions take some ten times as long,
# and larger or smaller numbers are written out as a text and read again, digit by digit.
_EXACT = 2**53
_FRACTION = 12
_FAR = 1_000
_FARTHEST, _NEAREST = 1e15, 1e-9
_DIGITS_SQUARED = 250
_CONTAINERS = frozenset((dict, list))


def number_weight(number: int | float) -> float:
    """How many whole numbers of up to 53 bits are compared in the time that this number takes."""
    if isinstance(number, float):
        if number == 0 or _NEAREST <= abs(number) <= _FARTHEST:
            return _FRACTION
        return _FAR
    if -_EXACT <= number <= _EXACT:
        return 1
    # A bit is 0.302 of a decimal digit.
    return _FAR + (number.bit_length() * 0.302) ** 2 / _DIGITS_SQUARED


def size_of(document: Any, size_bytes: int) -> Size:
    """The size of a document that has `size_bytes` bytes as JSON."""
    values, count = 1.0, 1
    longest = widest = path_bytes = depth = 0
    # Level by level, and each level at once, since there may be a hundred thousand values.
    level = [document]
    while level:
        depth += 1
        objects = [each for each in level if isinstance(each, dict)]
        widest = max(widest, max(map(len, objects), default=0))
        names = map(len, chain.from_iterable(objects))
        path_bytes += max(names, default=5) + 1
        inner = [value for each in level for value in (each.values() if isinstance(each, dict) else each)]
        values += len(inner)
        count += len(inner)
        kinds = set(map(type, inner))
        if int in kinds or float in kinds:
            values += _numbers_weight(inner)
        for each in level:
            if isinstance(each, list) and len(each) > longest and not _CONTAINERS.isdisjoint(map(type, each)):
                longest = len(each)
        level = [] if _CONTAINERS.isdisjoint(kinds) else [each for each in inner if type(each) in _CONTAINERS]
    return Size(values, size_bytes, values * longest, values * widest, path_bytes, depth, count)


def _numbers_weight(values: Iterable[Any]) -> float:
    """The weight of the numbers among some values, without the one that each counts as a value."""
    numbers = [each for each in values if type(each) is int or type(each) is float]
    if float not in set(map(type, numbers)) and min(numbers) >= -_EXACT and max(numbers) <= _EXACT:
        return 0
    return sum(map(number_weight, numbers)) - len(numbers)


class Sizes:
    """The sizes of the parts of a document, each computed once."""

    def __init__(self) -> None:
        self._known: dict[int, Size] = {}

    def of(self, value: Any) -> Size:
        """The size of a part."""
        if isinstance(value, str):
            return Size(1, len(value) + 2 if value.isascii() else 4 * len(value) + 2, 0, 0, 0, 1)
        if isinstance(value, dict | list):
            if id(value) not in self._known:
                self._known[id(value)] = self._container(value)
            return self._known[id(value)]
        if isinstance(value, bool) or value is None:
            return _LITERAL
        return Size(number_weight(value), 20, 0, 0, 0, 1)

    def _container(self, value: dict[str, Any] | list[Any]) -> Size:
        inner = list(map(self.of, value.values() if isinstance(value, dict) else value))
        values = 1 + sum(each.values for each in inner)
        size_bytes = 2 + sum(each.size_bytes for each in inner) + len(inner)
        # The longest array and the widest object of the parts; `pairs` and `members` are products with
        # `values`.
        longest = max((each.pairs / each.values for each in inner), default=0.0)
        widest = max((each.members / each.values for each in inner), default=0.0)
        if isinstance(value, dict):
            widest = max(widest, len(value))
            size_bytes += sum(map(len, value)) * 4
        elif any(isinstance(each, dict | list) for each in value):
            longest = max(longest, len(value))
        return Size(values, size_bytes, values * longest, values * widest, 0, 0)


_LITERAL = Size(1, 5, 0, 0, 0, 1)
