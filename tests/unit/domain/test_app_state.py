from typing import Any

import msgspec
import pytest

from domain import app_state
from domain.app_state import MAXIMUM_VALUE_BYTES, Deleted, Expired, ValueSet
from domain.messages import Event, Recorded
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, given, raw

TABLE = "app_state"
LARGEST = "x" * (MAXIMUM_VALUE_BYTES - 2)


def value_set(text: str) -> ValueSet:
    return ValueSet(value=raw(text))


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"a": [1, None]}])
def test_a_key_holds_any_json_value(value):
    story = given().when("app_state.set", key=KEY, value=value)

    story.then(ValueSet(value=msgspec.Raw(msgspec.json.encode(value))))
    assert msgspec.json.decode(story.state(TABLE).value) == value


def test_the_same_value_again_changes_nothing():
    given(value_set("1")).when("app_state.set", key=KEY, value=1).then_nothing()
    given(value_set("1")).when("app_state.set", key=KEY, value=1.0).then(value_set("1.0"))


def test_a_value_has_at_most_64_kib():
    given().when("app_state.set", key=KEY, value=LARGEST).then(value_set(f'"{LARGEST}"'))
    given().when("app_state.set", key=KEY, value=LARGEST + "x").then_refused(
        "too_large", limit_bytes=MAXIMUM_VALUE_BYTES, size_bytes=MAXIMUM_VALUE_BYTES + 1, path="$.value"
    )


# Compare and set


def test_a_value_is_set_if_the_key_is_at_the_expected_version():
    story = given(value_set("1"), value_set("2"))

    story.when("app_state.set_if", key=KEY, value=3, expected_version=2).then(value_set("3"))
    story.when("app_state.set_if", key=KEY, value=4, expected_version=2).then_refused(
        "version_conflict", expected_version=2, actual_version=3
    )


@pytest.mark.parametrize("version", [1, 3, 10**30])
def test_a_value_is_not_set_at_another_version(version: int):
    given(value_set("1"), value_set("2")).when(
        "app_state.set_if", key=KEY, value=3, expected_version=version
    ).then_refused("version_conflict", expected_version=version, actual_version=2)


def test_version_zero_expects_that_the_key_holds_nothing():
    given().when("app_state.set_if", key=KEY, value=1, expected_version=0).then(value_set("1"))
    given(value_set("1"), Deleted()).when("app_state.set_if", key=KEY, value=1, expected_version=0).then(
        value_set("1")
    )
    given(value_set("1")).when("app_state.set_if", key=KEY, value=1, expected_version=0).then_refused(
        "version_conflict", actual_version=1
    )
    given(value_set("1"), Deleted()).when(
        "app_state.set_if", key=KEY, value=1, expected_version=2
    ).then_refused("version_conflict", actual_version=0)


# Delete


def test_a_deleted_key_holds_nothing_and_its_versions_go_on():
    story = given(value_set("1")).when("app_state.delete", key=KEY).then(Deleted())
    assert story.state(TABLE) is None
    story.when("app_state.delete", key=KEY).then_refused("not_found")

    story.when("app_state.set", key=KEY, value=1).then(value_set("1"))
    assert story.state(TABLE).version == 3


# Many


def test_many_keys_are_set_at_once_and_those_that_hold_the_value_already_are_left():
    story = given(value_set("1"), key="a").given(value_set("1"), key="b")

    story.when("app_state.set_many", items=[{"key": key, "value": 2} for key in "ca"] + [
        {"key": "b", "value": 1}
    ]).then(value_set("2"), value_set("2"))  # fmt: skip
    assert [key for key, _ in story.decision.events] == ["c", "a"]


def test_many_keys_are_set_or_none_of_them():
    story = given()

    story.when(
        "app_state.set_many", items=[{"key": "a", "value": 1}, {"key": "b", "value": LARGEST + "x"}]
    ).then_refused("too_large", path="$.items[1].value")
    assert story.streams == {}


def test_a_key_stands_once_among_many():
    given().when(
        "app_state.set_many", items=[{"key": "a", "value": 1}, {"key": "a", "value": 1}]
    ).then_refused("invalid", path="$.items[1].key")


def test_a_foreign_event_is_not_taken_for_one_of_the_state():
    class Strange(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError):
        app_state.evolve(None, Recorded(1, KEY, 1, NOW, Strange()))


# Values that expire


def expiring(text: str, in_ms: int = 1_000) -> ValueSet:
    return ValueSet(value=raw(text), expires_at=NOW + in_ms)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("set", {"key": KEY, "value": 1, "ttl_ms": 1_000}),
        ("set_if", {"key": KEY, "value": 1, "ttl_ms": 1_000, "expected_version": 0}),
        ("set_many", {"items": [{"key": KEY, "value": 1, "ttl_ms": 1_000}]}),
    ],
)
def test_a_value_says_when_it_expires(verb: str, body):
    story = given().when(f"app_state.{verb}", **body).then(expiring("1"))

    assert story.state(TABLE).expires_at == NOW + 1_000


def test_setting_a_value_again_renews_its_time_or_lifts_it():
    story = given(expiring("1")).later(400)
    story.when("app_state.set", key=KEY, value=1, ttl_ms=600).then_nothing()
    story.when("app_state.set", key=KEY, value=1, ttl_ms=1_000).then(expiring("1", 1_400))
    story.when("app_state.set", key=KEY, value=1).then(value_set("1"))
    story.later(10**9).when("app_state.set", key=KEY, value=1).then_nothing()


def test_the_service_ends_a_value_once_its_time_is_over_and_not_before():
    story = given(expiring("1")).later(999).when("app_state.expire", key=KEY).then_nothing()

    story.later(1).when("app_state.expire", key=KEY).then(Expired())
    assert story.state(TABLE) is None
    story.when("app_state.expire", key=KEY).then_nothing()


def test_the_service_does_not_end_what_was_set_anew():
    given(expiring("1"), value_set("2")).later(10**6).when("app_state.expire", key=KEY).then_nothing()


def test_an_expired_value_is_gone_also_before_the_event_that_says_so():
    story = given(expiring("1")).later(1_000)

    story.copy().when("app_state.delete", key=KEY).then_refused("not_found")
    story.copy().when("app_state.set_if", key=KEY, value=2, expected_version=1).then_refused(
        "version_conflict", actual_version=0
    )
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("set", {"key": KEY, "value": 1}),
        ("set_if", {"key": KEY, "value": 1, "expected_version": 0}),
        ("set_many", {"items": [{"key": KEY, "value": 1}]}),
    ]
    for verb, body in bodies:
        story.copy().when(f"app_state.{verb}", **body).then(Expired(), value_set("1"))


def test_a_lock_is_taken_by_one_and_free_again_when_its_time_is_over():
    story = given().when("app_state.set_if", key=KEY, value="me", ttl_ms=1_000, expected_version=0)
    story.then(expiring('"me"'))

    story.when("app_state.set_if", key=KEY, value="you", ttl_ms=1_000, expected_version=0)
    story.then_refused("version_conflict", actual_version=1)
    story.later(1_000).when("app_state.set_if", key=KEY, value="you", ttl_ms=1_000, expected_version=0)
    assert story.refusal is None
