"""The smallest class of the library's documentation: events named by decorators."""

from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest

from tests.support.clock import MINUTE_MS, NOW
from tests.support.domain.adapted_story import AdaptedStory, story
from tests.support.domain.brought.dogs import Dog

UUID_KEY = "0190f3c4-7d1a-7000-8000-000000000001"


@pytest.fixture(name="dogs")
def no_dogs() -> AdaptedStory:
    return story(Dog, "dogs")


def test_calling_the_class_is_the_verb_create(dogs: AdaptedStory):
    dogs.when("dogs.create", id="one", name="Fido")

    dogs.then_told("dog.registered.v1", name="Fido")


def test_a_dog_without_an_id_gets_a_new_one(dogs: AdaptedStory):
    dogs.when("dogs.create", name="Fido")

    assert [key for key, _ in dogs.decision.events] == ["id-1"]


def test_a_dog_is_created_once(dogs: AdaptedStory):
    dogs.happened("dog.registered.v1", name="Fido")

    dogs.when("dogs.create", id="one", name="Rex").then_refused("already_exists")


def test_a_decorated_method_is_a_verb_with_its_parameters_and_defaults(dogs: AdaptedStory):
    dogs.happened("dog.registered.v1", name="Fido")

    dogs.when("dogs.add_trick", id="one", trick="roll over")
    dogs.then_told("dog.trick_added.v1", trick="roll over", loudly=False)
    dogs.when("dogs.add_trick", id="one", trick="bark", loudly=True)
    dogs.then_told("dog.trick_added.v1", trick="bark", loudly=True)
    assert dogs.row()["tricks"] == '["roll over","BARK"]'


def test_there_is_nothing_to_teach_where_there_is_no_dog(dogs: AdaptedStory):
    dogs.when("dogs.add_trick", id="one", trick="sit").then_refused("not_found")


def test_a_body_is_held_to_the_annotations(dogs: AdaptedStory):
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `int`"):
        dogs.when("dogs.add_trick", id="one", trick=1)


def test_a_method_that_only_tells_something_is_no_verb(dogs: AdaptedStory):
    assert set(dogs.verbs) == {"dogs.create", "dogs.add_trick"}
    assert dogs.brought.left_out == {}


def test_a_row_has_the_public_attributes_and_where_it_stands(dogs: AdaptedStory):
    dogs.happened("dog.registered.v1", name="Fido")
    dogs.later(MINUTE_MS)
    dogs.when("dogs.add_trick", id="one", trick="sit")

    assert dogs.row() == {
        "id": "one",
        "name": "Fido",
        "tricks": '["sit"]',
        "created_at": NOW,
        "updated_at": NOW + MINUTE_MS,
        "version": 2,
        "position": 2,
    }
    fields = {field.name: field.type for field in msgspec.structs.fields(dogs.brought.row_shape)}
    assert (fields["name"], fields["tricks"]) == (str, list[str])


@pytest.mark.parametrize(
    ("key", "inside"),
    [
        (UUID_KEY, UUID_KEY),
        ("one", str(uuid5(NAMESPACE_URL, "dogs/one"))),
        # Another spelling is another key, and so another dog.
        (UUID_KEY.upper(), str(uuid5(NAMESPACE_URL, f"dogs/{UUID_KEY.upper()}"))),
    ],
)
def test_a_dog_knows_itself_by_a_uuid(dogs: AdaptedStory, key: str, inside: str):
    dogs.happened("dog.registered.v1", key=key, name="Fido")
    deciding = dogs.brought.decider.evolve.__self__  # type: ignore[attr-defined]

    assert str(deciding._states.aggregate_of(dogs.state("dogs", key)).id) == inside


def test_what_a_command_changes_is_a_copy(dogs: AdaptedStory):
    dogs.happened("dog.registered.v1", name="Fido")
    before = dogs.state("dogs")
    kept = msgspec.json.encode(before)

    dogs.when("dogs.add_trick", id="one", trick="sit")

    assert msgspec.json.encode(before) == kept
    assert dogs.state("dogs") != before
