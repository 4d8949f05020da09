"""Kept values: any value of an attribute comes back from JSON as it was."""

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.installed.library.keeping import CannotKeepError, Keeper


class Colour(Enum):
    RED = 1
    BLUE = ("b", 2)


class Right(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    points: tuple[Point, ...]
    colour: Colour = Colour.RED


class Shape(msgspec.Struct):
    lines: list[Line]


class Plain:
    """An ordinary class."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Names(list[str]):
    """More than its fields."""


KEEPER = Keeper([Colour, Right, Point, Line, Shape, Plain, Names])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.binary(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, timezone(timedelta(hours=5, minutes=30))])),
    st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999)),
    st.sampled_from([*Colour, Right.READ, Right.READ | Right.WRITE]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(st.text("$ab", max_size=3), inner, max_size=4),
        st.dictionaries(SCALARS, inner, max_size=4),
        st.dictionaries(st.text("ab", min_size=1), inner, max_size=3).map(lambda one: Plain(**one)),
        st.sets(SCALARS, max_size=4),
        st.frozensets(SCALARS, max_size=4),
        st.lists(inner, max_size=3).map(lambda one: Line(points=tuple(Point(1, each) for each in one))),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_from_json_as_it_was(value: Any):
    kept = KEEPER.keep(value)
    given_back = msgspec.json.decode(msgspec.json.encode(kept))

    assert given_back == kept
    used = KEEPER.use(given_back)
    assert used == value
    assert type(used) is type(value)
    assert KEEPER.keep(used) == kept
    # The form for answers and rows is JSON, too.
    msgspec.json.encode(KEEPER.told(kept))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [1, {2, 3}]}, {"a": [1, [2, 3]]}),
        (Shape([Line((Point(1, Decimal("2.50")),), Colour.RED)]), None),
        (Counter(b=1, a=2), {"b": 1, "a": 2}),
        (OrderedDict(z=1), {"z": 1}),
        ({Point(1, Decimal(2)): "there"}, [[{"x": 1, "y": "2"}, "there"]]),
        ({"$tuple": 1, "b": {"$": 2}}, {"$tuple": 1, "b": {"$": 2}}),
        ((datetime(2027, 1, 1, tzinfo=UTC), date(2027, 1, 1), time(1), timedelta(hours=1)), None),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_what_is_told_of_a_value_is_plain(value: Any, told: Any):
    kept = KEEPER.keep(value)

    assert KEEPER.use(kept) == value
    assert told is None or KEEPER.told(kept) == told


def test_a_dictionary_with_defaults_goes_on_making_them():
    counts: defaultdict[str, list[int]] = defaultdict(list, a=[1])

    used = KEEPER.use(KEEPER.keep(counts))
    used["b"].append(2)
    assert used == {"a": [1], "b": [2]}
    assert counts == {"a": [1]}


@pytest.mark.parametrize(
    "value",
    [object(), Names(["a"]), ValueError("no"), defaultdict(lambda: 1), [{"deep": (object,)}], Keeper([])],
)
def test_a_value_of_a_class_that_is_not_known_is_refused(value: Any):
    with pytest.raises(CannotKeepError, match="cannot be kept"):
        KEEPER.keep(value)


def test_a_name_that_is_not_known_imports_nothing():
    with pytest.raises(KeyError):
        KEEPER.use({"$object": ["os:Popen", {"command": "true"}]})
