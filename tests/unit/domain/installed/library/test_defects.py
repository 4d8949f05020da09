"""Defects found before a decision is accepted: classes whose events do not say what the method did."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from eventsourcing.domain import Aggregate, event

from domain.errors import Refusal
from tests.support.domain.adapted_story import AdaptedStory, story

CHANCE = count()


class Faulty(Aggregate):
    def __init__(self) -> None:
        self.value: Any = None
        self.number: int = 0

    @event("Valued")
    def put(self, value: Any) -> None:
        self.value = value

    @event("Stamped")
    def stamp(self) -> None:
        self.value = next(CHANCE)

    def put_past_events(self) -> None:
        self.value = "elsewhere"
        if self.number < 0:
            self.put(0)

    def put_tuple(self) -> None:
        self.put(("a", "b"))

    def put_decimal(self) -> None:
        self.put(Decimal("1.5"))

    def put_nan(self) -> None:
        self._put_computed("nan")

    def put_unbounded(self) -> None:
        self.put({"inner": [1.5, math.inf]})

    def put_product(self) -> None:
        self.put(Decimal("1e999999") * Decimal(10))

    @event("Added")
    def add(self, amount: float) -> None:
        self.value = (self.value or 0.0) + amount

    @event("Computed")
    def _put_computed(self, what: str) -> None:
        self.value = {"nan": math.nan, "file": object()}[what]

    def put_object(self) -> None:
        self._put_computed("file")

    @event("Numbered")
    def number_with(self, number: Any) -> None:
        self.number = number

    def break_down(self) -> None:
        if self.number == 0:
            raise KeyError("nothing is there")
        self.put(0)

    def lie(self) -> None:
        self.trigger_event(self.Lied, text=datetime(2027, 1, 1, tzinfo=UTC))

    class Lied(Aggregate.Event):
        text: str

        def apply(self, aggregate: Any) -> None:
            aggregate.value = self.text


@pytest.fixture(name="faulty")
def one_faulty() -> AdaptedStory:
    return story(Faulty, "faulties").happened("faulty.created.v1")


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("stamp", {}, "the attribute value is not what its events make of it"),
        ("put_past_events", {}, "the attribute value is not what its events make of it"),
        ("put_tuple", {}, "Valued.value holds a tuple that JSON does not give back"),
        ("put_decimal", {}, "Valued.value holds a Decimal that JSON does not give back"),
        ("put_object", {}, "the attribute value: a builtins:object cannot be kept"),
        ("number_with", {"number": "many"}, "the attribute number holds a str where its column takes"),
        ("number_with", {"number": 2**63}, "the attribute number holds a int where its column takes"),
        ("lie", {}, "Lied.text holds a datetime that JSON does not give back"),
        ("break_down", {}, "nothing is there"),
    ],
)
def test_a_defect_of_the_class_is_no_refusal_and_changes_nothing(
    faulty: AdaptedStory, verb: str, body: dict[str, Any], said: str
):
    before = faulty.state("faulties")

    with pytest.raises((TypeError, KeyError), match=said) as caught:
        faulty.when(f"faulties.{verb}", id="one", **body)

    assert not isinstance(caught.value, Refusal)
    assert faulty.state("faulties") is before
    faulty.when("faulties.put", id="one", value=[1]).then_told("faulty.valued.v1", value=[1])


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("put_nan", {}, "value of the faulty would be nan"),
        ("put_unbounded", {}, r"value\.inner\[1\] of the event faulty\.valued\.v1 would be inf"),
        ("put_product", {}, "the numbers of this are too large to be reckoned with: Overflow"),
        ("add", {"amount": 1.5e308}, "value of the faulty would be inf"),
    ],
)
def test_a_number_without_an_end_is_a_refusal_that_says_where(
    faulty: AdaptedStory, verb: str, body: dict[str, Any], said: str
):
    faulty.when("faulties.add", id="one", amount=1.5e308)

    faulty.when(f"faulties.{verb}", id="one", **body).then_refused("invalid", path="$")

    assert re.match(said, str(faulty.refusal))


def test_a_state_has_a_limit():
    class Log(Aggregate):
        def __init__(self) -> None:
            self.lines: list[str] = []

        @event("Written")
        def write(self, lines: list[str]) -> None:
            self.lines += lines

    logs = story(Log, "logs").when("logs.create", id="one")
    logs.when("logs.write", id="one", lines=["x" * 200_000])
    logs.when("logs.write", id="one", lines=["x" * 200_000])
    logs.when("logs.write", id="one", lines=["x" * 200_000]).then_refused("too_large", limit_bytes=524_288)


def test_an_event_has_a_limit_and_so_have_they_together():
    class Press(Aggregate):
        def print_many(self, times: int) -> None:
            for _ in range(times):
                self.trigger_event(self.Printed, text="")

        def print_large(self, size: int) -> None:
            self.trigger_event(self.Printed, text="x" * size)

        class Printed(Aggregate.Event):
            text: str

    presses = story(Press, "presses").when("presses.create", id="one")
    presses.when("presses.print_many", id="one", times=1_001).then_refused("too_large", limit=1_000)
    presses.when("presses.print_large", id="one", size=600_000).then_refused("too_large")


class Odd(Aggregate):
    class Made(Aggregate.Created):
        pass

    @classmethod
    def make(cls, way: str) -> Any:
        ways: dict[str, Callable[[], Any]] = {
            "past its class": Odd,
            "none": lambda: None,
            "two": lambda: (cls._create(cls.Made), cls._create(cls.Made)),
            "of an id of its own": lambda: cls._create(cls.Made, id=uuid5(NAMESPACE_URL, "odd")),
        }
        return ways[way]()


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("past its class", "what was created is not what was asked for"),
        ("none", "what was created is not what was asked for"),
        ("two", "one command creates one Odd, and this is the second"),
        ("of an id of its own", "said by a create_id with parameters"),
    ],
)
def test_a_class_method_that_creates_something_else_is_a_defect(way: str, said: str):
    with pytest.raises(TypeError, match=said):
        story(Odd, "odds").when("odds.make", id="one", way=way)
