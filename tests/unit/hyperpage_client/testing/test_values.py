"""Values by a schema: those that a seed has fit, and are few."""

import random
from typing import Any

import jsonschema_rs
import pytest

from hyperpage_client.testing.conformance.values import NoValueError, Values
from ops.contract.schema import all_schemas

COMMANDS = {name: schema for name, schema in all_schemas()["commands"].items() if name != "batch"}


def values(seed: int = 1, **known: Any) -> Values:
    return Values(random.Random(seed), known)


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_is_made_by_a_schema_of_ours_fits_it(name: str):
    for seed in range(20):
        made = values(seed).body(COMMANDS[name])
        assert jsonschema_rs.is_valid(COMMANDS[name], made), made


def test_a_seed_has_the_same_values_every_time():
    schema = COMMANDS["schedules.set"]

    assert values(7).body(schema) == values(7).body(schema)


def test_keys_are_few():
    schema = COMMANDS["app_state.delete"]
    several = values()
    several.names = ("x1", "y1")

    assert {several.body(schema)["key"] for _ in range(50)} == {"x1", "y1", "a"}


@pytest.mark.parametrize(
    "member",
    [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
        {"type": "number", "exclusiveMinimum": 2, "maximum": 3},
        {"type": "integer", "multipleOf": 5, "minimum": 10},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
        {"type": ["string", "null"]},
        {"const": "x"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"$ref": "#/$defs/Deep"},
    ],
)
def test_what_libraries_say_in_other_words_is_understood(member: dict[str, Any]):
    schema = {
        "type": "object",
        "properties": {"a": member},
        "required": ["a"],
        "$defs": {"Deep": {"type": "object", "properties": {"a": {"$ref": "#/$defs/Deep"}}}},
    }
    for seed in range(20):
        made = values(seed).body(schema)
        assert jsonschema_rs.is_valid(schema, made), made


def test_what_cannot_be_made_is_asked_for():
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^ZZ$"}}, "required": ["a"]}

    with pytest.raises(NoValueError, match=r"values=\{'a'"):
        values().body(schema)
    assert values(a=["ZZ"]).body(schema) == {"a": "ZZ"}
