"""Classes that are refused when they are adapted: what is wrong, where, and what to do about it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.domain import Aggregate, aggregate, event

from domain.installed.error import AggregateError
from domain.installed.library import adapted

if TYPE_CHECKING:
    from decimal import Decimal


class Money:
    """A plain class, of which JSON knows nothing."""


class PaidInMoney(Aggregate):
    @event("Paid")
    def pay(self, price: Money) -> None: ...


class KnownToCheckersAlone(Aggregate):
    @event("Paid")
    def pay(self, price: "Decimal") -> None: ...


class WithAnIdOfSomethingElse(Aggregate):
    @event("ItemAdded")
    def add_item(self, id: str) -> None: ...  # noqa: A002 (that is the mistake)


class WithATimestamp(Aggregate):
    @event("Stamped")
    def stamp(self, timestamp: str) -> None: ...


class OfTwoMinds(Aggregate):
    class Opened(Aggregate.Created):
        pass

    class Imported(Aggregate.Created):
        pass


class WithoutAStep(Aggregate):
    class Renamed(Aggregate.Event):
        name: str
        class_version = 3

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None: ...

    @event(Renamed)
    def rename(self, name: str) -> None: ...


class AskedForTheSame(Aggregate):
    hyperpage_verbs = {"shut": "close"}

    @event("Shut")
    def shut(self) -> None: ...

    @event("Closed")
    def close(self) -> None: ...


class SpelledAlike(Aggregate):
    def __init__(self) -> None:
        self.full_name = ""
        self.fullName = ""


@dataclass
class NamedByAnother(Aggregate):
    name: str

    @staticmethod
    def create_id(number: int) -> Any: ...


@aggregate
class MadeByADecorator:
    pass


class NotToBeCreated(Aggregate):
    hyperpage_verbs = {"__init__": None}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            PaidInMoney,
            r"PaidInMoney\.Paid\.price: Money is no type that JSON can hold; make it",
        ),
        (
            KnownToCheckersAlone,
            r"KnownToCheckersAlone\.Paid: its annotations cannot be resolved .*Decimal",
        ),
        (
            WithAnIdOfSomethingElse,
            r"add_item: its parameter id would stand where .*\{\"add_item\": None\}",
        ),
        (WithATimestamp, r"stamp: its parameter timestamp would stand where"),
        (OfTwoMinds, r"calling it may make each of Opened, Imported; decorate __init__"),
        (WithoutAStep, r"Renamed: its class_version is 3, and it has no upcast_v2_v3"),
        (AskedForTheSame, r"close: shut is the verb close, too; hyperpage_verbs gives"),
        (
            SpelledAlike,
            r"SpelledAlike\.full_name: another attribute has the same name",
        ),
        (NamedByAnother, r"the id follows from number \(create_id\), which it does not take"),
        (NotToBeCreated, r"NotToBeCreated: no verb creates one"),
        (MadeByADecorator, r"made an aggregate by a decorator, .*; derive it from eventsourcing"),
        (dict, r"builtins\.dict: it is no Aggregate; derive it"),
    ],
)
def test_a_class_is_refused_with_the_place_and_what_to_do(kind: type, said: str):
    with pytest.raises(AggregateError) as caught:
        adapted(kind, table="things")

    assert re.search(said, f"{caught.value.message}; {caught.value.hint}".replace(" cannot be taken in", ""))
