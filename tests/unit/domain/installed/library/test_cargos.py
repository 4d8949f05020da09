"""Cargo: values of own classes, private attributes behind properties, mutators on the aggregate."""

import pytest

from tests.support.domain.adapted_story import AdaptedStory, story
from tests.support.domain.brought.cargos import Cargo

DIRECT = {"legs": [{"origin": "hamburg", "destination": "stockholm", "voyage": "V1"}]}


@pytest.fixture(name="cargos")
def one_cargo() -> AdaptedStory:
    return story(Cargo, "cargos").when(
        "cargos.book", id="one", origin="hamburg", destination="stockholm", deadline="2027-03-01T00:00:00Z"
    )


def test_values_of_own_classes_go_through_json_and_come_back(cargos: AdaptedStory):
    cargos.when("cargos.assign_route", id="one", route=DIRECT)
    cargos.when("cargos.handle", id="one", handling="receive", port="hamburg")

    cargos.then_told("cargo.handled.v1", handling="receive", port="hamburg")
    assert cargos.replayed() == cargos.state("cargos")


def test_the_time_of_an_event_is_that_of_the_transaction(cargos: AdaptedStory):
    cargos.when("cargos.assign_route", id="one", route=DIRECT)

    # A week after 2027-01-15T08:00:00Z, where the story's clock stands.
    assert cargos.row()["estimated_arrival"] == "2027-01-22T08:00:00Z"


def test_a_property_that_only_returns_an_attribute_is_its_column(cargos: AdaptedStory):
    cargos.when("cargos.assign_route", id="one", route=DIRECT)
    cargos.when("cargos.handle", id="one", handling="receive", port="hamburg")
    row = cargos.row()

    assert (row["origin"], row["deadline"]) == ("hamburg", "2027-03-01T00:00:00Z")
    assert row["route"] == '{"legs":[{"destination":"stockholm","origin":"hamburg","voyage":"V1"}]}'
    assert row["place"] == '{"port":"hamburg","since":"2027-01-15T08:00:00Z"}'
    assert "next" not in row


def test_what_a_mutator_refuses_is_refused(cargos: AdaptedStory):
    cargos.when("cargos.assign_route", id="one", route=DIRECT)

    cargos.when("cargos.handle", id="one", handling="claim", port="hamburg").then_refused(
        "refused", rule="value_error"
    )
