import threading
from typing import Any

import msgspec
import pytest

from domain.errors import Refusal
from domain.json_schema import (
    MAXIMUM_ERRORS,
    MAXIMUM_SCHEMA_BYTES,
    MAXIMUM_WEIGHT,
    RULE,
    Budget,
    problem_of,
    require_schema,
    violations,
)
from tests.support.domain.honest_schemas import HONEST


def refused(schema: dict[str, Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        require_schema(schema, Budget())
    return caught.value


def violated(schema: dict[str, Any], document: dict[str, Any], limit: int = 20) -> list[dict[str, str]]:
    require_schema(schema, Budget())
    return violations(
        msgspec.json.encode(schema).decode(), document, "$.config", limit=limit, budget=Budget()
    )


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/tool"},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {}},
            "$ref": "#/definitions/a",
        },
        {
            "$defs": {"a/b": {"anyOf": [{"type": "null"}]}},
            "properties": {"a": {"$ref": "#/$defs/a~1b/anyOf/0"}},
        },
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}},
        {"properties": {"a": {"pattern": "^[a-z0-9]+$"}}},
        {"properties": {"pattern": {"type": "string"}, "format": {"const": "regex"}}},
        {"default": {"pattern": "(?=a)"}, "enum": [{"pattern": "(a)\\1"}]},
        *(schema for schema, _ in HONEST.values()),
    ],
)
def test_a_schema_is_taken(schema: dict[str, Any]):
    require_schema(schema, Budget())


@pytest.mark.parametrize(
    ("schema", "code", "path"),
    [
        ({"type": "strin"}, "invalid", "$.schema.type"),
        ({"properties": {"a": {"minimum": "1"}}}, "invalid", "$.schema.properties.a.minimum"),
        ({"properties": {"a b": {"pattern": "("}}}, "invalid", '$.schema.properties["a b"].pattern'),
        ({"$schema": "https://example.com/mine"}, "invalid", '$.schema["$schema"]'),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "invalid", '$.schema["$schema"]'),
        ({"patternProperties": [1]}, "invalid", "$.schema.patternProperties"),
        ({"prefixItems": {}}, "invalid", "$.schema.prefixItems"),
        ({"not": [{}]}, "invalid", "$.schema.not"),
        ({"dependentSchemas": {"a": 7}}, "invalid", "$.schema.dependentSchemas.a"),
        ({"$schema": []}, "invalid", '$.schema["$schema"]'),
        ({"$id": 7}, "invalid", '$.schema["$id"]'),
        ({"$ref": "https://example.com/schema.json"}, "invalid", '$.schema["$ref"]'),
        ({"$ref": "file:///etc/passwd"}, "invalid", '$.schema["$ref"]'),
        ({"items": {"$ref": "other.json#/a"}}, "invalid", '$.schema.items["$ref"]'),
        ({"$ref": "#/$defs/none"}, "invalid", '$.schema["$ref"]'),
        ({"$defs": {"a": [{}]}, "$ref": "#/$defs/a/1"}, "invalid", '$.schema["$ref"]'),
        ({"$ref": "#"}, "invalid", '$.schema["$ref"]'),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}}, "invalid", '$.schema["$defs"].a["$ref"]'),
        ({"properties": {"a": {"$dynamicRef": "#a"}}}, "invalid", '$.schema.properties.a["$dynamicRef"]'),
        ({"$defs": {"a": {"$id": "b"}}}, "invalid", '$.schema["$defs"].a["$id"]'),
        ({"items": {"pattern": "(?<=a)(?=[ab]*c)x"}}, "invalid", "$.schema.items.pattern"),
        (
            {"$defs": {"a": {"pattern": r"(a)\1"}}, "$ref": "#/$defs/a"},
            "invalid",
            '$.schema["$defs"].a.pattern',
        ),
        ({"patternProperties": {"(?!a)": {}}}, "invalid", '$.schema.patternProperties["(?!a)"]'),
        ({"propertyNames": {"pattern": "x{1000}{1000}"}}, "invalid", "$.schema.propertyNames.pattern"),
        ({"not": {"pattern": "a" * 2_001}}, "invalid", "$.schema.not.pattern"),
        ({"pattern": r"\s" * 500}, "invalid", "$.schema.pattern"),
        ({"properties": {"a": {"format": "regex"}}}, "invalid", "$.schema.properties.a.format"),
        ({"properties": {f"p{each}": {"not": {}} for each in range(1_000)}}, "too_large", "$.schema"),
        ({"description": "x" * MAXIMUM_SCHEMA_BYTES}, "too_large", "$.schema"),
        ({"examples": [0] * MAXIMUM_WEIGHT}, "too_large", "$.schema"),
    ],
)
def test_a_schema_is_refused_with_the_place_that_is_wrong(schema: dict[str, Any], code: str, path: str):
    refusal = refused(schema)

    assert refusal.code == code
    assert refusal.details["path"] == path
    # The hint does not fit a schema, which cannot be kept elsewhere.
    assert "send where it is" not in refusal.hint


def doubling(levels: int) -> dict[str, Any]:
    """A small schema that is two to the power of its levels, once its references are put in place."""
    parts = {f"p{one}": {"allOf": [{"$ref": f"#/$defs/p{one + 1}"}] * 2} for one in range(levels)}
    return {"$defs": parts | {f"p{levels}": {"type": "object"}}, "$ref": "#/$defs/p0"}


def chain(length: int) -> dict[str, Any]:
    parts: dict[str, Any] = {f"p{one}": {"$ref": f"#/$defs/p{one + 1}"} for one in range(length)}
    return {"$defs": parts | {f"p{length}": {"type": "object"}}, "$ref": "#/$defs/p0"}


def test_references_count_as_often_as_they_are_followed():
    assert violated(doubling(4), {}) == []
    assert refused(doubling(16)).code == "too_large"
    assert refused(doubling(60)).code == "too_large"
    assert "flatter" in refused(doubling(60)).hint


@pytest.mark.parametrize("length", [60, 90, 150, 250, 320, 900, 1_500])
def test_a_long_chain_of_references_is_followed_or_refused(length: int):
    found: list[Any] = []

    def follow() -> None:
        try:
            found.append(violated(chain(length), {}))
        except Refusal as refusal:
            found.append(refusal.code)

    # In a thread, as in the writer: its stack is smaller.
    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    assert found in ([[]], ["invalid"], ["too_large"])


def test_each_violation_says_where_and_does_not_repeat_the_value():
    schema = {
        "properties": {
            "url": {"type": "string", "format": "uri"},
            "retries": {"type": "array", "items": {"maximum": 3}},
            "mode": {"enum": ["fast", "slow"]},
            "name": {"maxLength": 5},
        },
        "required": ["url"],
        "additionalProperties": False,
    }
    document = {"retries": [1, 4711], "mode": "secretive", "name": "confidential", "a b": {}}

    errors = violated(schema, document)

    assert {error["path"] for error in errors} == {
        "$.config",
        "$.config.retries[1]",
        "$.config.mode",
        "$.config.name",
    }
    said = str(errors)
    assert not any(value in said for value in ("4711", "secretive", "confidential"))
    assert violated(schema, {"url": "no uri"})[0]["path"] == "$.config.url"
    assert violated(schema, {"url": "https://example.com"}) == []


def test_violations_are_few_and_short_however_many_there_are():
    document = {"x" * 150: ["y"] * 1_000}
    schema = {"additionalProperties": {"items": {"type": "integer"}}}

    errors = violated(schema, document, limit=10**6)
    assert len(errors) == MAXIMUM_ERRORS
    assert len(violated(schema, document, limit=3)) == 3
    assert len(violated(schema, document, limit=-5)) == 1
    assert max(len(error["path"]) for error in errors) <= 100
    long = violated({"properties": {"a": {"enum": ["z" * 1_000]}}}, {"a": 1})
    assert len(long[0]["message"]) <= 150


def test_a_heavy_schema_is_for_small_documents():
    schema = {"additionalProperties": {"pattern": "(a|b)*a(a|b){200}c"}}
    small, large = {"x": "ab" * 500}, {"x": "ab" * 30_000}

    assert violated(schema, small)
    with pytest.raises(Refusal) as caught:
        violated(schema, large)
    assert caught.value.code == "too_large"
    assert 1_000 < caught.value.details["limit_bytes"] < 30_000
    assert violated({"type": "object"}, large) == []


def test_a_pattern_without_a_bound_is_named_with_what_to_write_instead():
    refusal = refused({"properties": {"a": {"pattern": "^(?=.*[0-9])[a-z0-9]+$"}}})

    assert "lookaround" in refusal.message
    assert "allOf" in refusal.hint
    assert refusal.details == {
        "path": "$.schema.properties.a.pattern",
        "pattern": "^(?=.*[0-9])[a-z0-9]+$",
    }
    assert "minLength" in refused({"pattern": ".{5000}"}).hint


@pytest.mark.parametrize("name", HONEST)
def test_what_people_write_is_taken_and_every_place_that_is_wrong_is_told(name: str):
    schema, document = HONEST[name]
    assert violated(schema, document) == []

    wrong = document | dict.fromkeys(list(schema["properties"])[:2], 7)
    assert len(violated(schema, wrong)) >= 1


def test_what_is_too_much_to_tell_is_still_told_to_be_wrong():
    schema = {"required": [f"name-{each}" for each in range(1_000)]}
    document = {"values": [{"a": each} for each in range(10_000)]}

    errors = violated(schema, document)

    assert len(errors) == 1
    assert errors[0]["path"] == "$.config"


def test_a_schema_that_would_be_refused_today_is_not_applied():
    old = msgspec.json.encode({"properties": {"a": {"pattern": "(?<=a)(?=[ab]*c)x"}}}).decode()

    with pytest.raises(Refusal) as caught:
        violations(old, {"a": "a" * 40_000}, "$.config", limit=20, budget=Budget())

    assert caught.value.code == "refused"
    assert caught.value.details["rule"] == RULE
    assert caught.value.details["schema_path"] == "$.schema.properties.a.pattern"
    assert "register_schema" in caught.value.hint
    assert "lookaround" in (problem_of(old) or "")
    assert problem_of('{"type": "object"}') is None


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "(a*)*b", "([a-z]+)*[0-9]"])
def test_no_expression_takes_for_ever(pattern: str):
    assert violated({"properties": {"a": {"pattern": pattern}}}, {"a": "a" * 10_000 + "!"})
