"""Refusals of a body: all its faults at once, likely corrections, and no secret."""

import json

import msgspec
import pytest

from bus.contract.codec import decode, decode_command
from bus.contract.violations import (
    MAXIMUM_EXPLAINED_BYTES,
    MAXIMUM_VIOLATIONS,
    nearest,
    violations_of,
)
from bus.serving.decoding import MOST_EXPLAINED, submission_of
from domain.catalogue import VERBS
from domain.errors import Invalid, Refusal
from hyperpage_client.contract.commands import MAXIMUM_BATCH_COMMANDS
from tests.support.domain.credential_corpus import Pieces
from tests.support.domain.issued_credentials import SHAPED

ENQUEUE = VERBS["jobs.enqueue"][1]


def violations(name: str, body: object) -> list[dict[str, object]]:
    """The violations in the refusal of a command with that body."""
    with pytest.raises(Invalid) as caught:
        decode_command(VERBS[name][1], msgspec.json.encode(body), name=name)
    first = {"path": caught.value.details["path"], "message": caught.value.message}
    told = msgspec.json.decode(msgspec.json.encode(caught.value.details["violations"]))
    assert any(first["path"] == one["path"] for one in told), "the first to be found is one of them"
    return list(told)


def test_all_that_is_wrong_is_told_at_once_with_what_is_allowed():
    body = {
        "type": "",
        "nam": "x",
        "tags": ["good", 1, ""],
        "queue": "a b",
        "unique": {"key": 1, "scope": "incomplet", "windw_ms": 1},
    }
    assert violations("jobs.enqueue", body) == [
        {"path": "$.type", "message": "Expected `str` of length >= 1"},
        {"path": "$", "message": "Object contains unknown field `nam`", "did_you_mean": "name"},
        {"path": "$.tags[1]", "message": "Expected `str`, got `int`"},
        {"path": "$.tags[2]", "message": "Expected `str` of length >= 1"},
        {
            "path": "$.queue",
            "message": "this is not a key: a key has 1 to 200 letters, digits and . _ : @ / + = -, begins"
            " with a letter or digit, has no .. and does not end with a dot",
        },
        {"path": "$.unique.key", "message": "Expected `str`, got `int`"},
        {
            "path": "$.unique.scope",
            "message": "Invalid enum value 'incomplet'",
            "allowed": ["incomplete", "successful", "all", "waiting"],
            "did_you_mean": "incomplete",
        },
        {
            "path": "$.unique",
            "message": "Object contains unknown field `windw_ms`",
            "did_you_mean": "window_ms",
        },
    ]


def test_a_time_that_is_no_number_is_told_as_one():
    assert violations(
        "jobs.enqueue", {"type": "sync", "run_at": "2026-12-01T00:00:00Z", "priority": "x"}
    ) == [
        {
            "path": "$.run_at",
            "message": "Expected `int | null`, got `str`",
            "did_you_mean": "1796083200000",
        },
        {"path": "$.priority", "message": "Expected `int`, got `str`"},
    ]


def test_a_field_that_resembles_none_is_told_with_those_that_there_are():
    assert violations("jobs.cancel", {"id": "a", "why": "x"}) == [
        {"path": "$", "message": "Object contains unknown field `why`", "allowed": ["reason"]}
    ]


def test_what_stands_in_lists_objects_and_raw_json_is_found_by_its_place():
    items = [{"key": "a", "value": {"any": 1}}, {"key": "b c", "value": 1}, {"value": 1}, 4]
    found = violations("app_state.set_many", {"items": items})
    assert [one["path"] for one in found] == ["$.items[1].key", "$.items[2]", "$.items[3]"]
    headers = {"platform": "github", "status": 200, "headers": {"good": "x", "bad": 1}}
    assert [one["path"] for one in violations("rate_limits.observe_response", headers)] == ["$.headers[...]"]
    assert violations("jobs.cancel", [])[0]["path"] == "$"


@pytest.mark.parametrize("kind", sorted(SHAPED))
def test_no_violation_repeats_a_credential(kind: str):
    credential = SHAPED[kind](Pieces(7))
    # The first fault is an honest one: the refusal is about that.
    body = {"priority": 9, "unique": {"scope": credential}, credential: 1, "tags": {credential: credential}}
    found = violations("jobs.enqueue", body)
    assert len(found) > 3
    assert credential not in str(found)
    for alone in ({"type": "a", "name": "b", credential: 1}, {"on_dependency_failure": credential}):
        with pytest.raises(Refusal) as caught:
            decode_command(ENQUEUE, msgspec.json.encode(alone))
        assert credential not in f"{caught.value.message}{caught.value.details}"


def test_they_are_bounded_and_none_are_sought_in_a_large_body():
    many = violations("jobs.enqueue", {f"unknown {number}": 1 for number in range(1_000)})
    assert len(many) <= MAXIMUM_VIOLATIONS
    long = violations("jobs.enqueue", {f"{number}{'x' * 500}": 1 for number in range(20)})
    assert len(msgspec.json.encode(long)) < 8 * 1024
    large = msgspec.json.encode({"type": 1, "payload": "x" * MAXIMUM_EXPLAINED_BYTES})
    assert violations_of(ENQUEUE.command, large) == ()


@pytest.mark.parametrize("rest", [b"", b"x", b'"\\ud800"}', b"[" * 20_000], ids=lambda rest: repr(rest[:9]))
def test_what_is_no_json_behind_the_first_fault_is_refused_for_that_fault(rest: bytes):
    with pytest.raises(Invalid) as caught:
        decode(ENQUEUE.command, b'{"priority": 9, "payload": ' + rest)
    assert caught.value.details["path"] == "$.priority"


def test_a_batch_explains_its_first_refusals_and_its_answer_fits_into_a_message():
    unknown = {"command": "app_state.set", "body": {"\x01" * 80: 1}}
    batch = {"commands": [unknown] * MAXIMUM_BATCH_COMMANDS}
    requests = submission_of("batch", json.dumps(batch).encode(), None, None).requests
    refusals = [one for one in requests if isinstance(one, Refusal)]
    assert [one.details["index"] for one in refusals] == list(range(MAXIMUM_BATCH_COMMANDS))
    assert sum("violations" in one.details for one in refusals) == MOST_EXPLAINED
    assert (
        sum(len(msgspec.json.encode([one.message, one.hint, one.details])) for one in refusals) < 960 * 1024
    )


def test_the_nearest_name_is_found_and_no_long_one_is_compared():
    assert nearest("statuss", ("queue", "status")) == "status"
    assert nearest("colour", ("queue", "status")) is None
    assert nearest("q" * 100_000, ("queue",)) is None
