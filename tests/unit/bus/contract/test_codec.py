import contextlib
import json
import time
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.contract import codec
from bus.contract.codec import (
    MAXIMUM_DEPTH,
    decode_batch,
    decode_command,
    error_body,
    error_headers,
    find_verb,
    request_hash,
)
from domain import errors
from domain.catalogue import VERBS
from domain.decider import Verb
from domain.errors import Invalid, NotFound, Refusal, RuleViolated, TooLarge
from domain.messages import Command
from hyperpage_client.contract.commands import MAXIMUM_BATCH_BYTES, CommandAnswer

SET = VERBS["app_state.set"][1]
SET_MANY = VERBS["app_state.set_many"][1]
ENQUEUE = VERBS["jobs.enqueue"][1]
CLAIM = VERBS["jobs.claim"][1]
CONFIGURE = VERBS["tool_configs.set"][1]
OBSERVE = VERBS["rate_limits.observe"][1]

# A body without anything wrong, for every verb.
LEAST: dict[str, dict[str, Any]] = {
    "jobs.enqueue": {"type": "t"},
    "jobs.claim": {"worker": "w"},
    "jobs.heartbeat": {"id": "a", "lease": "l"},
    "jobs.progress": {"id": "a", "lease": "l"},
    "jobs.complete": {"id": "a", "lease": "l"},
    "jobs.fail": {"id": "a", "lease": "l", "error": "x"},
    "jobs.snooze": {"id": "a", "lease": "l", "run_at": 1},
    "jobs.interrupt": {"id": "a", "lease": "l"},
    "jobs.cancel": {"id": "a"},
    "jobs.ack_cancel": {"id": "a", "lease": "l"},
    "jobs.retry": {"id": "a"},
    "jobs.rescue": {"id": "a"},
    "jobs.time_out": {"id": "a"},
    "jobs.resolve_dependents": {"id": "a"},
    "jobs.resolve_group": {"id": "a"},
    "jobs.cancel_many": {"filter": {}},
    "jobs.retry_many": {"filter": {}},
    "jobs.hold": {"id": "a"},
    "jobs.release": {"id": "a"},
    "jobs.reschedule": {"id": "a", "run_at": 1},
    "jobs.reprioritize": {"id": "a", "priority": 1},
    "jobs.update_payload": {"id": "a", "payload": {}},
    "jobs.archive": {"id": "a"},
    "jobs.pause_queue": {"queue": "q"},
    "jobs.resume_queue": {"queue": "q"},
    "jobs.limit_queue": {"queue": "q"},
    "jobs.import": {
        "id": "a",
        "type": "t",
        "name": "n",
        "priority": 1,
        "status": "pending",
        "created_at": 1,
        "updated_at": 1,
        "persisted_at": 1,
    },
    "schedules.set": {"id": "a", "job": {"type": "t", "name": "n"}},
    "schedules.delete": {"id": "a"},
    "schedules.pause": {"id": "a"},
    "schedules.resume": {"id": "a"},
    "schedules.trigger": {"id": "a"},
    "schedules.run": {"id": "a"},
    "rate_limits.observe": {"platform": "p"},
    "rate_limits.observe_response": {"platform": "p", "status": 200, "headers": {}},
    "rate_limits.throttle": {"platform": "p", "until": 1},
    "rate_limits.set_thresholds": {"platform": "p"},
    "rate_limits.reserve": {"platform": "p"},
    "rate_limits.release": {"platform": "p", "reservation": "r"},
    "rate_limits.clear": {"platform": "p"},
    "rate_limits.import": {"platform": "p", "last_updated": 1, "created_at": 1},
    "tool_configs.set": {"tool_name": "a"},
    "tool_configs.patch": {"tool_name": "a", "patch": {}},
    "tool_configs.enable": {"tool_name": "a"},
    "tool_configs.disable": {"tool_name": "a"},
    "tool_configs.set_refresh_interval": {"tool_name": "a", "refresh_interval": None},
    "tool_configs.set_notifications": {"tool_name": "a", "notifications": True},
    "tool_configs.rollback": {"tool_name": "a", "to_version": 1},
    "tool_configs.delete": {"tool_name": "a"},
    "tool_configs.register_schema": {"tool_name": "a", "schema": {}},
    "tool_configs.remove_schema": {"tool_name": "a"},
    "tool_configs.validate": {"tool_name": "a", "config": {}},
    "tool_configs.import": {"tool_name": "a", "enabled": True, "notifications": True, "updated_at": 1},
    "app_state.set": {"key": "a", "value": None},
    "app_state.set_if": {"key": "a", "value": None, "expected_version": 0},
    "app_state.delete": {"key": "a"},
    "app_state.set_many": {"items": [{"key": "a", "value": None}]},
    "app_state.expire": {"key": "a"},
    "app_state.import": {"key": "a", "value": None},
}


def refused(verb: Verb, body: Any) -> Refusal:
    """Why a body is refused; anything but a refusal fails the test."""
    with pytest.raises(Refusal) as caught:
        decode_command(verb, body if isinstance(body, bytes) else msgspec.json.encode(body))
    return caught.value


def invalid(verb: Verb, body: Any) -> str:
    """The path at which a body is invalid."""
    refusal = refused(verb, body)
    assert refusal.code == "invalid", refusal
    path = refusal.details["path"]
    assert isinstance(path, str)
    return path


def value(text: bytes) -> bytes:
    return b'{"key":"k","value":' + text + b"}"


# Verbs


def test_every_verb_takes_the_least_that_it_needs():
    assert set(LEAST) == set(VERBS)
    for name, body in LEAST.items():
        assert decode_command(VERBS[name][1], msgspec.json.encode(body)) is not None


@pytest.mark.parametrize("name", LEAST)
def test_every_verb_refuses_what_it_does_not_know_and_says_what_it_misses(name: str):
    verb = VERBS[name][1]

    assert invalid(verb, LEAST[name] | {"unknown": 1}) == "$"
    for field in LEAST[name]:
        missing = refused(verb, {key: kept for key, kept in LEAST[name].items() if key != field})
        assert (missing.code, missing.details["path"]) == ("invalid", "$")
        assert f"`{field}`" in missing.message


@pytest.mark.parametrize(
    "name", ["jobs", "jobs.", "jobs.explode", "", "Jobs.enqueue", "jobs.enqueue.v1", "jobs.rescue", "batch"]
)
def test_a_verb_that_is_not_there_or_the_services_own_is_not_found(name: str):
    with pytest.raises(NotFound):
        find_verb(name)


def test_a_verb_is_found_by_its_name():
    assert find_verb("jobs.enqueue") == VERBS["jobs.enqueue"]


# Shapes


@pytest.mark.parametrize(
    ("verb", "changes", "path"),
    [
        (ENQUEUE, {"type": 1}, "$.type"),
        (ENQUEUE, {"type": ""}, "$.type"),
        (ENQUEUE, {"type": "x" * 201}, "$.type"),
        (ENQUEUE, {"name": ""}, "$.name"),
        (ENQUEUE, {"priority": 0}, "$.priority"),
        (ENQUEUE, {"priority": 5}, "$.priority"),
        (ENQUEUE, {"priority": "2"}, "$.priority"),
        (ENQUEUE, {"priority": 2.5}, "$.priority"),
        (ENQUEUE, {"priority": True}, "$.priority"),
        (ENQUEUE, {"priority": None}, "$.priority"),
        (ENQUEUE, {"run_at": -1}, "$.run_at"),
        (ENQUEUE, {"run_at": 253_402_300_800_000}, "$.run_at"),
        (ENQUEUE, {"run_at": 10**30}, "$.run_at"),
        (ENQUEUE, {"run_at": "2027-01-01T00:00:00Z"}, "$.run_at"),
        (ENQUEUE, {"max_attempts": 0}, "$.max_attempts"),
        (ENQUEUE, {"max_attempts": 1001}, "$.max_attempts"),
        (ENQUEUE, {"endpoint": "x" * 1001}, "$.endpoint"),
        (ENQUEUE, {"id": 5}, "$.id"),
        (ENQUEUE, {"queue": None}, "$.queue"),
        (CLAIM, {"limit": 0}, "$.limit"),
        (CLAIM, {"limit": 101}, "$.limit"),
        (CLAIM, {"lease_ms": 999}, "$.lease_ms"),
        (CLAIM, {"lease_ms": 3_600_001}, "$.lease_ms"),
        (CLAIM, {"types": []}, "$.types"),
        (CLAIM, {"types": "mail"}, "$.types"),
        (CLAIM, {"types": ["mail", 5]}, "$.types[1]"),
        (CLAIM, {"types": ["x"] * 101}, "$.types"),
        (CLAIM, {"types": ["x"] * 10_000}, "$.types"),
        (CONFIGURE, {"config": []}, "$.config"),
        (CONFIGURE, {"config": None}, "$.config"),
        (CONFIGURE, {"enabled": 1}, "$.enabled"),
        (CONFIGURE, {"enabled": "true"}, "$.enabled"),
        (CONFIGURE, {"refresh_interval": 0}, "$.refresh_interval"),
        (CONFIGURE, {"reason": "x" * 1001}, "$.reason"),
        (OBSERVE, {"remaining": -1}, "$.remaining"),
        (OBSERVE, {"remaining": 2**53}, "$.remaining"),
        (SET_MANY, {"items": []}, "$.items"),
        (SET_MANY, {"items": {}}, "$.items"),
        (SET_MANY, {"items": [{"key": "a", "value": 1}, {"key": "a"}]}, "$.items[1]"),
        (SET_MANY, {"items": [{"key": "a", "value": 1}, {"key": "b", "value": 1, "x": 1}]}, "$.items[1]"),
        (SET_MANY, {"items": [{"key": "a", "value": 1}, {"key": ".", "value": 1}]}, "$.items[1].key"),
        (SET_MANY, {"items": [{"key": f"k{at}", "value": 1} for at in range(1_001)]}, "$.items"),
        (SET_MANY, {"items": [0] * 10_000}, "$.items[0]"),
        (VERBS["jobs.progress"][1], {"percent": 100.1}, "$.percent"),
        (VERBS["jobs.progress"][1], {"percent": -0.1}, "$.percent"),
        (VERBS["jobs.fail"][1], {"error": "x" * 10_001}, "$.error"),
        (VERBS["jobs.heartbeat"][1], {"lease": "x" * 201}, "$.lease"),
        (VERBS["tool_configs.rollback"][1], {"to_version": 0}, "$.to_version"),
        (VERBS["app_state.set_if"][1], {"expected_version": -1}, "$.expected_version"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_invalid_and_the_path_says_where(
    verb: Verb, changes: dict[str, Any], path: str
):
    name = next(name for name, (_, one) in VERBS.items() if one is verb)

    assert invalid(verb, LEAST[name] | changes) in (path, path + "[...]")


FORBIDDEN_KEYS = [
    "", ".", "..", "a..b", "a.", ".a", "-a", "_a", "/a", "=a", ":a", " a", "a ", "a b", "a\tb", "a\n", "\na",
    "a\r", "a\x00", "\x00", "a*b", "a>b", "a?b", "a#b", "a%b", "a\\b", "a|b", "a\"b", "a'b", "a,b", "a;b",
    "a(b", "a[b", "a{b", "a<b", "a&b", "a!b", "a$b", "a^b", "a~b", "a`b", "é", "aé", "a\u0301", "ａ", "١",
    "a\u200b", "a\u2028b", "😀", "x" * 201, "x" * 199 + "..", "a" + "." * 2 + "b",
]  # fmt: skip
KEYED = [
    (ENQUEUE, "id"), (ENQUEUE, "queue"), (CLAIM, "queue"), (CONFIGURE, "tool_name"), (SET, "key"),
    (VERBS["jobs.cancel"][1], "id"),
]  # fmt: skip


@pytest.mark.parametrize("key", FORBIDDEN_KEYS)
def test_a_key_of_a_forbidden_shape_is_invalid(key: str):
    for verb, field in KEYED:
        name = next(name for name, (_, one) in VERBS.items() if one is verb)
        assert invalid(verb, LEAST[name] | {field: key}) == f"$.{field}"


@pytest.mark.parametrize(
    "key", ["a", "0", "A.b_c:d@e/f+g=h-i", "a.b.c", "x" * 200, "a/", "a-", "9f1c", "a" + ".b" * 99]
)
def test_a_key_of_an_allowed_shape_is_taken(key: str):
    for verb, field in KEYED:
        name = next(name for name, (_, one) in VERBS.items() if one is verb)
        decoded = decode_command(verb, msgspec.json.encode(LEAST[name] | {field: key}))
        assert getattr(decoded, field) == key


# Bodies


def test_an_empty_body_is_an_empty_object():
    assert "`worker`" in refused(CLAIM, b"").message
    assert not decode_batch(b'{"commands":[]}').commands
    with pytest.raises(Invalid, match="`commands`"):
        decode_batch(b"")


@pytest.mark.parametrize(
    "body",
    [b" ", b"null", b"[]", b"1", b'"x"', b"true", b"{", b"}", b"[", b'{"key"', b'{"key":', b'{"key":"k"',
     b'{"key":"k",}', b"{'key':1}", b'{"key":"k","value":1}x', b'{"key":"k","value":1}{}', b"\x00",
     b'\xef\xbb\xbf{"key":"k","value":1}', '{"key":"k","value":1}'.encode("utf-16"), b"{key:1}", b"\xff",
     b'{"key":"k","value":1}\x00', b'// x\n{"key":"k","value":1}', b'{"\xff":1}', b'{"key":"k\xff"}'],
)  # fmt: skip
def test_a_body_that_is_not_a_json_object_is_invalid(body: bytes):
    assert invalid(SET, body) in ("$", "$.key")


def test_a_body_may_be_spaced_and_escaped_as_json_allows():
    command = decode_command(SET, b' \t\r\n{ "\\u006bey" : "\\u006b" ,\n"value" : [ 1 , 2 ] } ')

    assert (command.key, bytes(command.value)) == ("k", b"[ 1 , 2 ]")


@pytest.mark.parametrize(
    "text",
    [b"NaN", b"nan", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E400", b"9" * 5_000, b"01", b"1.",
     b".5", b"+1", b"0x1", b"--1", b"1e", b"undefined", b"'x'", b'"\\x"', b'"\\u12"', b'"\\uD800"',
     b'"\\ud800\\ud800"', b'"\\udc00"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"',
     b'"\xf5\x80\x80\x80"', b'"a\x00b"', b'"a\nb"', b'"a\x1fb"', b'"unfinished', b"[1,]", b"[,1]",
     b"{1:2}", b"[1 2]", b'{"a" 1}', b"tru", b"nul"],
)  # fmt: skip
def test_a_value_that_is_kept_as_it_came_is_json_too(text: bytes):
    nested = b'{"tool_name":"k","config":{"a":[' + text + b"]}}"
    payload = b'{"type":"t","name":"n","payload":{"a":' + text + b"}}"

    assert invalid(SET, value(text)).startswith("$")
    assert invalid(CONFIGURE, nested).startswith("$")
    assert invalid(ENQUEUE, payload).startswith("$")


@pytest.mark.parametrize(
    "text",
    ['"\\u0000"', '"\\ud83d\\ude00"', '"😀"', '"\u2028"', '"\ufeff"', '"\uffff"', '"\x7f"', '"\\/"', "-0",
     "-0.0", "1e5", "1E+5", "1.50", "123456789012345678901234567890", "0.1e-999", '"' + "é" * 10_000 + '"',
     "[" + "1," * 9_999 + "1]", "{}", "[]", '{"":1}', '{"a:b":":"}', '{"a":1,"A":2}', '{"\\u00e9":1}'],
)  # fmt: skip
def test_what_is_json_is_kept_byte_for_byte(text: str):
    command = decode_command(SET, value(text.encode()))

    assert bytes(command.value) == text.encode()


# Two readings


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":"k","value":1,"value":2}',
        b'{"key":"k","key":"k","value":1}',
        b'{"key":"k","value":1,"\\u006bey":"j"}',
        value(b'{"a":1,"a":1}'),
        value(b'{"a":1,"\\u0061":2}'),
        value(b'{"a":1 , "a"\t:\n2}'),
        value(b'{"a":{"b":1,"b":2}}'),
        value(b'[[{"a":1},{"a":1,"b":2,"a":3}]]'),
        value(b'{"":1,"":2}'),
        value(b'{"a":":","a":"\\u003a\\u003a"}'),
        value(b'{"\\u00e9":1,"\xc3\xa9":2}'),
        value(b'{"a\\/b":1,"a/b":2}'),
        value(b'{"a\\tb":1,"a\\u0009b":2}'),
        value(b'{"a":1,"b":"::::","a":"::"}'),
        value(b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}'),
    ],
)
def test_a_name_that_is_there_twice_is_refused_wherever_and_however_it_is_written(body: bytes):
    refusal = refused(SET, body)

    assert refusal.code == "invalid"
    assert "there twice" in refusal.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"t","name":"n","payload":{"a":{"b":1,"b":2}}}',
        b'{"type":"t","name":"n","payload":{"a":1,"\\u0061":2}}',
    ],
)
def test_a_name_that_is_there_twice_in_a_payload_is_refused(body: bytes):
    assert invalid(ENQUEUE, body) == "$"


def test_a_name_may_be_there_once_in_each_of_several_objects():
    assert decode_command(SET, value(b'[{"a":1},{"a":{"a":1}},{"\\u0061":":"}]')) is not None


def test_finding_which_of_many_names_is_there_twice_takes_no_time():
    names = b",".join(b'"%05d":1' % number for number in range(22_000))
    began = time.process_time()

    refusal = refused(CONFIGURE, b'{"tool_name":"k","config":{' + names + b',"z":1,"z":2}}')

    assert "'z'" in refusal.message
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", [b"[", b'{"a":'])
def test_a_body_is_at_most_so_many_levels_deep(text: bytes):
    def nested(levels: int) -> bytes:
        inner = b"1" + (b"]" if text == b"[" else b"}") * levels
        return value(text * levels + inner)

    assert decode_command(SET, nested(MAXIMUM_DEPTH - 1)) is not None
    for levels in (MAXIMUM_DEPTH, 1_000, 8_000):
        assert invalid(SET, nested(levels)) == "$"
        assert "levels deep" in refused(SET, nested(levels)).message
    assert invalid(SET, b"[" * 60_000) == "$"
    assert invalid(SET, value(b"[" * 60_000)) == "$"


def test_brackets_in_texts_are_no_levels():
    text = b'"' + b"[{" * 1_000 + b'\\"[[{{\\\\"'

    assert bytes(decode_command(SET, value(text)).value) == text
    assert invalid(SET, value(b'["' + b"[" * 100 + b'",' + b"[" * 64 + b"]" * 65)) == "$"


def test_many_objects_beside_each_other_are_not_deep():
    assert decode_command(SET, value(b"[" + b"[],{}," * 5_000 + b"1]")) is not None


@pytest.mark.parametrize(
    "number", [b"1e308", b"-17.976931348623157E+307", b"5e-324", b"1e000308", b"9" * 4_200]
)
def test_numbers_that_take_long_to_read_are_few_in_a_body(number: bytes):
    assert decode_command(SET, value(b"[" + b",".join([number] * 10) + b"]")) is not None

    many = value(b"[" + b" , ".join([number] * (60_000 // (len(number) + 3))) + b"]")
    began = time.process_time()
    assert "too many numbers" in refused(SET, many).message
    assert [finding.path for finding in codec.findings_in(many)] in ([], ["$"])
    assert time.process_time() - began < 0.1


def test_texts_with_digits_are_no_numbers_that_take_long():
    texts = b",".join(b'"%064x"' % (0xE1E308 << each % 200) for each in range(900))

    assert decode_command(SET, value(b"[" + texts + b"]")) is not None
    assert decode_command(SET, value(b"[" + b",".join([b"1.5e10"] * 5_000) + b"]")) is not None


# Size


@pytest.mark.parametrize("name", LEAST)
def test_a_body_over_its_limit_is_too_large_and_says_how_large_it_may_be(name: str):
    verb = VERBS[name][1]
    body = msgspec.json.encode(LEAST[name])
    spaced = body + b" " * (verb.maximum_bytes - len(body))

    assert decode_command(verb, spaced) is not None
    refusal = refused(verb, spaced + b" ")
    assert refusal.code == "too_large"
    assert refusal.details == {"limit_bytes": verb.maximum_bytes, "size_bytes": verb.maximum_bytes + 1}


def test_what_is_too_large_is_not_looked_into():
    assert refused(SET, b"[" * 1_000_000).code == "too_large"


def test_a_refusal_does_not_repeat_a_long_name_at_length():
    long = "x" * 50_000
    many = {f"{long}{place}": 1 for place in range(3)}
    with pytest.raises(NotFound) as not_found:
        find_verb(f"jobs.{long}")

    for refusal in (
        refused(SET, {"key": "a", "value": 1, long: 1}),
        refused(CONFIGURE, {"tool_name": "a", "config": {"a": 1}, long: 1}),
        refused(CONFIGURE, b'{"tool_name":"a","config":{"%s":1,"%s":2}}' % (long.encode(), long.encode())),
        refused(SET, {"key": long, "value": 1} | many),
        not_found.value,
    ):
        assert len(error_body(refusal)) < 1_000
        assert sum(map(len, error_headers(refusal).values())) < 1_000


# Batches


def test_a_batch_keeps_its_commands_and_their_bodies_as_they_came():
    batch = decode_batch(
        b'{"atomic":true,"commands":[{"command":"jobs.retry","id":"x","expected_version":3,'
        b'"body":{ "id" : "a" }},{"command":"what.ever"}]}'
    )

    first, second = batch.commands
    assert batch.atomic
    assert (first.command, first.id, first.expected_version) == ("jobs.retry", "x", 3)
    assert bytes(first.body) == b'{ "id" : "a" }'
    assert (second.id, second.expected_version, bytes(second.body)) == (None, None, b"{}")
    for no_version in (-1, 10**18, 2**63):
        with pytest.raises(Invalid, match="int"):
            codec.decode_batch(b'{"commands":[{"command":"jobs.retry","expected_version":%d}]}' % no_version)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", "$"),
        (b'{"commands":{}}', "$.commands"),
        (b'{"commands":[1]}', "$.commands[0]"),
        (b'{"commands":[{}]}', "$.commands[0]"),
        (b'{"commands":[{"command":"a"},{"command":"a","x":1}]}', "$.commands[1]"),
        (b'{"commands":[{"command":1}]}', "$.commands[0].command"),
        (b'{"commands":[],"atomic":"yes"}', "$.atomic"),
        (b'{"commands":[],"x":1}', "$"),
        (b'{"commands":[{"command":"a","body":{"b":1,"b":2}}]}', "$"),
        (b'{"commands":[{"command":"a","body":{"b":NaN}}]}', "$"),
        (b'{"commands":[{"command":"a","body":' + b"[" * 100 + b"]" * 100 + b"}]}", "$"),
    ],
)
def test_a_batch_of_another_shape_is_invalid(body: bytes, path: str):
    with pytest.raises(Invalid) as caught:
        decode_batch(body)

    assert caught.value.details["path"] == path


def test_a_batch_has_at_most_a_thousand_commands_and_960_kib():
    def batch(count: int) -> bytes:
        return b'{"commands":[' + b",".join([b'{"command":"a"}'] * count) + b"]}"

    assert len(decode_batch(batch(1_000)).commands) == 1_000
    with pytest.raises(TooLarge) as caught:
        decode_batch(batch(1_001))
    assert caught.value.details == {"limit": 1_000, "size": 1_001}
    with pytest.raises(TooLarge):
        decode_batch(batch(10_000))
    with pytest.raises(TooLarge):
        decode_batch(b" " * (MAXIMUM_BATCH_BYTES + 1))


# Requests and answers


def test_a_request_is_told_from_another_by_verb_expected_version_and_body():
    retry = decode_command(VERBS["jobs.retry"][1], b'{"id":"a"}')
    other = decode_command(VERBS["jobs.retry"][1], b'{"id":"b"}')
    hashes = [
        request_hash("jobs.retry", None, retry),
        request_hash("jobs.cancel", None, retry),
        request_hash("jobs.retry", 0, retry),
        request_hash("jobs.retry", 1, retry),
        request_hash("jobs.retry", None, other),
    ]

    assert len(set(hashes)) == len(hashes)


def test_a_request_is_the_same_however_its_fields_are_ordered_and_spaced():
    one = decode_command(CONFIGURE, b'{"tool_name":"a","config":{"x":1,"y":2},"enabled":true}')
    other = decode_command(CONFIGURE, b'{ "config" : {"y":2,"x":1}, "tool_name":"a" }')

    assert request_hash("tool_configs.set", None, one) == request_hash("tool_configs.set", None, other)


def test_the_hash_of_a_request_stays_what_it_was():
    # Answers are kept for ever: a retry after an upgrade must be known again.
    command = decode_command(ENQUEUE, b'{"type":"t","payload":{ "a": 1},"name":"n","priority":3,"tool":null}')
    canonical = b'{"name":"n","payload":{ "a": 1},"priority":3,"type":"t"}'

    assert request_hash("jobs.enqueue", None, command) == sha256(b"jobs.enqueue\nNone\n" + canonical).digest()
    assert request_hash("jobs.enqueue", 0, command) == sha256(b"jobs.enqueue\n0\n" + canonical).digest()


def test_an_answer_has_its_fields_in_the_order_of_the_contract_without_spaces():
    answer = CommandAnswer("c", "jobs/a", 3, 41872, 1, ["job.completed.v1"], {"a": msgspec.Raw(b"[1]")})

    assert codec.encode(answer) == (
        b'{"command_id":"c","stream":"jobs/a","version":3,"position":41872,"timeline":1,'
        b'"events":["job.completed.v1"],"result":{"a":[1]}}'
    )


def test_a_refusal_says_its_code_message_hint_and_details():
    refusal = RuleViolated("stale_lease", "no\nlonger\r\nvalid: é", hint="stop", state="running")

    assert json.loads(error_body(refusal)) == {
        "error": {
            "code": "refused",
            "message": "no\nlonger\r\nvalid: é",
            "hint": "stop",
            "details": {"rule": "stale_lease", "state": "running"},
        }
    }
    assert error_headers(refusal) == {
        "Nats-Service-Error": "refused: no longer valid: ?",
        "Nats-Service-Error-Code": "422",
    }


def test_every_kind_of_refusal_has_a_code_and_a_number_of_its_own_kind():
    kinds = {
        kind.code: kind.number for kind in Refusal.__subclasses__() if kind.__module__ == errors.__name__
    }

    assert kinds == {
        "invalid": 400, "forbidden": 403, "not_found": 404, "version_conflict": 409, "already_exists": 409,
        "command_id_reused": 409, "too_large": 413, "refused": 422, "secret_rejected": 422, "busy": 429,
        "unavailable": 503, "behind": 503, "internal": 500,
    }  # fmt: skip
    assert all(code in (errors.__doc__ or "") for code in kinds)


@given(st.text())
def test_the_header_of_a_refusal_is_one_line_of_printable_ascii(message: str):
    text = error_headers(Invalid(message))["Nats-Service-Error"]

    assert text.isascii()
    assert text.isprintable()


# Anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4
    ),
    max_leaves=20,
)  # fmt: skip
scraps = st.lists(
    st.sampled_from(
        [b'{"', b'"', b":", b",", b"{", b"}", b"[", b"]", b'"key"', b'"value"', b'"k"', b"\\u0061",
         b"\\", b"\\ud800", b"1", b"-", b".", b"e9", b"null", b"\xff", b"\xed\xa0\x80", b"\x00", b" ", b"\n",
         b'{"key":"k","value":', b'{"type":"t","name":"n","payload":{', b'"a":1,', b'"\\u0061":2']
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(st.one_of(st.binary(), scraps, json_values.map(msgspec.json.encode)))
@example(b'{"key":"k","value":"\\ud800\\u0061"}')
@example(b'{"\xff":1}')
def test_whatever_comes_is_refused_or_reads_the_same_when_it_is_written_again(body: bytes):
    for verb in (SET, SET_MANY, ENQUEUE, CONFIGURE, CLAIM, OBSERVE):
        read = command_or_refusal(verb, body)
        if isinstance(read, Refusal):
            assert json.loads(error_body(read))["error"]["code"] in ("invalid", "too_large")
        else:
            assert decode_command(verb, codec.encode(read)) == read


@given(st.one_of(st.binary(), scraps))
def test_whatever_comes_as_a_batch_is_a_batch_or_invalid(body: bytes):
    with contextlib.suppress(Invalid):
        assert isinstance(decode_batch(b'{"commands":[' + body + b"]}"), codec.Batch)


def command_or_refusal(verb: Verb, body: bytes) -> Any:
    try:
        return decode_command(verb, body)
    except Refusal as refusal:
        return refusal


@given(json_values)
def test_any_json_value_is_taken_and_another_parser_reads_the_same(anything):
    text = json.dumps(anything)
    if not all(abs(number) < 10**308 for number in numbers(anything)):
        return

    command = decode_command(SET, value(text.encode()))

    assert json.loads(bytes(command.value)) == anything
    assert msgspec.json.decode(command.value) == anything


@given(json_values, json_values)
def test_an_object_with_a_name_twice_is_refused_whatever_its_values(one, other):
    text = f'{{"a":{json.dumps(one)},"b":[],"a":{json.dumps(other)}}}'

    assert invalid(SET, value(text.encode())).startswith("$")


def numbers(anything: Any) -> list[float]:
    match anything:
        case list():
            return [number for one in anything for number in numbers(one)]
        case dict():
            return numbers(list(anything.values()))
        case int() | float():
            return [anything]
        case _:
            return []


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-inf"])
def test_a_decimal_that_is_no_number_is_refused_with_its_path(number):
    class Price(msgspec.Struct):
        net: Decimal

    class Order(Command, frozen=True, kw_only=True):
        prices: dict[str, list[Price]]

    body = json.dumps({"prices": {"tea": [{"net": "1.5"}, {"net": number}]}}).encode()
    with pytest.raises(Invalid, match="is no number to reckon with") as refused:
        codec.decode(Order, body)

    assert refused.value.details["path"] == "$.prices.tea[1].net"
