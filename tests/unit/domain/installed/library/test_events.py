"""Events as the log has them: names, versions, and what stays the same when the class changes."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from eventsourcing.domain import Aggregate, event

from domain.installed.library.names import singular, snake
from domain.upcasters import upcast
from tests.support.domain.adapted_story import brought, story


class Parcel(Aggregate):
    TOPIC = "post:Parcel"

    class Created(Aggregate.Created):
        TOPIC = "post:Parcel.SentOff"
        to: str

    class Weighed(Aggregate.Event):
        TOPIC = "post:Parcel.Weighed"
        class_version = 3
        grams: Decimal
        by: str = "nobody"

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["grams"] = Decimal(state.pop("kilograms")) * 1000

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["by"] = "a scale"

    def __init__(self, to: str) -> None:
        self.to = to
        self.grams: Decimal | None = None

    @event(Weighed)
    def weigh(self, grams: Decimal, by: str = "nobody") -> None:
        self.grams = grams


PARCELS = brought(Parcel, "parcels")


def test_a_type_is_named_by_its_topic_and_class_version():
    assert set(PARCELS.decider.events) == {"parcel.sent_off.v1", "parcel.weighed.v3"}


def test_older_versions_go_through_the_steps_of_the_class():
    stored = {"kilograms": "1.5"}
    name, data = upcast("parcel.weighed.v1", stored, PARCELS.decider.upcasters)

    assert (name, stored) == ("parcel.weighed.v3", {"kilograms": "1.5"})
    read = msgspec.json.decode(msgspec.json.encode(data), type=PARCELS.decider.events[name])
    assert (read.grams, read.by) == (Decimal(1500), "a scale")  # type: ignore[attr-defined]


def test_a_value_that_equals_its_default_is_stored_since_a_default_may_change():
    parcels = story(Parcel, "parcels").when("parcels.create", id="one", to="Ada")
    parcels.when("parcels.weigh", id="one", grams="1.50")

    (told,) = [event for _, event in parcels.decision.events]
    assert msgspec.json.encode(told) == b'{"grams":"1.50","by":"nobody"}'


@pytest.mark.parametrize(
    ("table", "one"),
    [
        ("dogs", "dog"),
        ("bank_accounts", "bank_account"),
        ("entries", "entry"),
        ("boxes", "box"),
        ("addresses", "address"),
        ("app_state", "app_state"),
        ("status", "status"),
        ("pies", "pie"),
        ("ties", "tie"),
        ("houses", "house"),
    ],
)
def test_a_table_has_a_word_for_one_row(table: str, one: str):
    assert singular(table) == one


@pytest.mark.parametrize(
    ("name", "lower"),
    [("TrickAdded", "trick_added"), ("SentByHTTP", "sent_by_http"), ("HTTPSent", "http_sent"), ("V2", "v2")],
)
def test_a_name_in_lower_case_has_underscores_between_its_words(name: str, lower: str):
    assert snake(name) == lower
