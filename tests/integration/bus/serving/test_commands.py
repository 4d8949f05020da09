"""Commands over the wire, from a client that shares no code with the service, good ones and all others.

Whatever comes in: a refused command leaves the log as it was, and the service answers the next one.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from domain.catalogue import VERBS
from tests.support.clock import NOW
from tests.support.patience import wait_for
from tests.support.services.raw_nats import HEADER_LINE, Message
from tests.support.services.talking import Talk

TABLES = ("jobs", "rate_limits", "tool_configs", "app_state")
NUMBERS = {
    "invalid": 400,
    "not_found": 404,
    "version_conflict": 409,
    "already_exists": 409,
    "command_id_reused": 409,
    "too_large": 413,
    "refused": 422,
    "secret_rejected": 422,
    "busy": 429,
    "unavailable": 503,
    "internal": 500,
}
KIB = 1024
JOB: dict[str, Any] = {"type": "sync", "name": "acme/site"}
LEASED: dict[str, Any] = {"id": "nobody", "lease": "no-lease"}


@contextmanager
def nothing_stored(talk: Talk) -> Iterator[None]:
    """Checks that the block adds nothing to the log, and that the service still answers afterwards."""
    before = talk.position
    yield
    assert talk.position == before
    assert talk.command("app_state.get").code == "not_found"
    assert talk.query("jobs.count").code is None


def refused(talk: Talk, name: str, body: Any = b"{}", **headers: Any) -> dict[str, Any]:
    """The error of a command that must be refused, and leave no trace."""
    with nothing_stored(talk):
        message = talk.command(name, body, **headers)
        assert message.code is not None, message.body
        assert message.headers["Nats-Service-Error-Code"] == str(NUMBERS[message.code])
    return message.error


def accepted(message: Message) -> dict[str, Any]:
    """The answer to a command, which must be accepted."""
    assert message.code is None, message.body
    assert message.headers == {}
    said: dict[str, Any] = message.said
    assert list(said) == ["command_id", "stream", "version", "position", "timeline", "events", "result"]
    return said


def stored(talk: Talk, name: str, body: Any = b"{}", **headers: Any) -> dict[str, Any]:
    return accepted(talk.command(name, body, **headers))


# Answers


def test_an_answer_is_these_very_bytes(own: Talk):
    answer = own.command("app_state.set", {"key": "a/b:c", "value": [1]}, id="id-1")
    again = own.command("app_state.set", {"key": "a/b:c", "value": [1]}, id="id-2")
    own.command("jobs.enqueue", JOB | {"id": "j"}, id="id-3")
    asked = own.command(
        "rate_limits.observe", {"platform": "github", "remaining": 1, "data_fresh": False}, id="x"
    )

    assert answer.body == (
        b'{"command_id":"id-1","stream":"app_state/a/b:c","version":1,"position":1,"timeline":1,'
        b'"events":["app_state.set.v1"],"result":null}'
    )
    assert again.body == (
        b'{"command_id":"id-2","stream":null,"version":null,"position":null,"timeline":1,"events":[],"result":null}'
    )
    assert asked.body.startswith(b'{"command_id":"x","stream":null,"version":null,"position":null,')


def test_a_refusal_is_these_very_bytes(own: Talk):
    answer = own.command("app_state.delete", {"key": "gone"})

    assert (
        answer.body == b'{"error":{"code":"not_found","message":"gone holds nothing",'
        b'"hint":"look at how the name is written, or list what there is","details":{}}}'
    )
    assert answer.headers == {
        "Nats-Service-Error": "not_found: gone holds nothing",
        "Nats-Service-Error-Code": "404",
    }


def test_the_answer_to_several_events_tells_of_the_last(own: Talk):
    items = [{"key": key, "value": key} for key in "abc"]

    said = stored(own, "app_state.set_many", {"items": items})

    assert (said["stream"], said["version"], said["position"]) == ("app_state/c", 1, 3)
    assert said["events"] == ["app_state.set.v1"] * 3


def test_a_claim_answers_with_the_rows_and_their_leases(own: Talk):
    stored(own, "jobs.enqueue", JOB | {"id": "low", "priority": 1, "payload": {"n": 1}})
    stored(own, "jobs.enqueue", JOB | {"id": "critical", "priority": 4})

    said = stored(own, "jobs.claim", {"worker": "w", "limit": 5, "lease_ms": 1000})

    jobs = said["result"]["jobs"]
    assert [job["id"] for job in jobs] == ["critical", "low"]
    assert {job["lease_expires_at"] for job in jobs} == {NOW + 1000}
    assert len({job["lease"] for job in jobs}) == 2
    assert jobs[1]["payload"] == {"n": 1}
    for job in jobs:
        row = own.query("jobs.get", {"id": job["id"]}).said
        # A traceback can be long, and is of no use to a worker that begins anew: a claim leaves it out.
        assert row.pop("traceback") is None
        assert row == {name: job[name] for name in job if not name.startswith("lease")}
    assert own.command("jobs.claim", {"worker": "w"}).said["result"] == {"jobs": []}


def test_every_command_without_an_id_gets_one_of_its_own(shared: Talk):
    ids = {stored(shared, "app_state.set", {"key": "no-id", "value": n})["command_id"] for n in range(5)}

    assert len(ids) == 5


def test_commands_of_one_connection_are_decided_in_the_order_they_were_sent(own: Talk):
    async def in_a_row() -> list[Message]:
        asked = [
            own.client.ask("hyperpage.cmd.v1.app_state.set", {"key": "k", "value": value})
            for value in range(500)
        ]
        return await asyncio.gather(*asked)

    answers = own.run(in_a_row())

    assert [accepted(answer)["version"] for answer in answers] == list(range(1, 501))
    assert own.query("app_state.get", {"key": "k"}).said["value"] == 499


# Messages that are no commands


@pytest.mark.parametrize(
    "name",
    [
        "jobs.explode",
        "jobs",
        "jobs.enqueue.now",
        "Jobs.enqueue",
        "jobs.Enqueue",
        "cats.enqueue",
        "jobs.get",
        "jobs.rescue",
        "batch.batch",
        "events.read",
        "*.*",
        ">",
        "x" * 3500,
        "ü.ö",
    ],
)
def test_an_unknown_command_is_not_found(shared: Talk, name: str):
    assert refused(shared, name, JOB)["code"] == "not_found"


def test_the_service_alone_rescues_jobs(shared: Talk):
    stored(shared, "jobs.enqueue", JOB | {"id": "not-to-rescue", "queue": "rescue"})
    stored(shared, "jobs.claim", {"worker": "w", "queue": "rescue"})

    assert refused(shared, "jobs.rescue", {"id": "not-to-rescue"})["code"] == "not_found"
    assert shared.batch({"command": "jobs.rescue", "body": {"id": "not-to-rescue"}}).said["outcomes"][0][
        "error"
    ]


def value_body(value: bytes) -> bytes:
    return b'{"key":"malformed","value":%s}' % value


MALFORMED = {
    "nothing": b"",
    "a word": b"hello",
    "half an object": b'{"key":"malformed","value":',
    "an open string": b'{"key":"malformed',
    "more behind it": value_body(b"1") + b"x",
    "two objects": value_body(b"1") * 2,
    "a NUL behind it": value_body(b"1") + b"\0",
    "only NULs": bytes(100),
    "an array": b"[]",
    "null": b"null",
    "a string": b'"key"',
    "a number": b"1",
    "a byte order mark": b"\xef\xbb\xbf" + value_body(b"1"),
    "UTF-16": value_body(b"1").decode().encode("utf-16"),
    "not UTF-8": value_body(b'"\xff"'),
    "overlong UTF-8": value_body(b'"\xc0\xaf"'),
    "a surrogate in UTF-8": value_body(b'"\xed\xa0\x80"'),
    "a lone surrogate": value_body(rb'"\ud800"'),
    "surrogates the wrong way round": value_body(rb'"\ude00\ud83d"'),
    "a raw line break in a string": value_body(b'"a\nb"'),
    "a raw NUL in a string": value_body(b'"\0"'),
    "an escape that is none": value_body(rb'"\x41"'),
    "NaN": value_body(b"NaN"),
    "Infinity": value_body(b"-Infinity"),
    "too large a float": value_body(b"1e999"),
    "too long an integer": value_body(b"1" * 5000),
    "a leading zero": value_body(b"01"),
    "a plus": value_body(b"+1"),
    "a bare point": value_body(b"1."),
    "a trailing comma": value_body(b"[1,]"),
    "single quotes": b"{'key':'malformed','value':1}",
    "a comment": value_body(b"1 /* one */"),
    "a name twice": b'{"key":"malformed","value":1,"value":2}',
    "a name twice, once escaped": rb'{"key":"malformed","value":1,"valu\u0065":2}',
    "a name twice inside": value_body(b'{"a":1,"b":{"c":[{"d":1,"d":1}]}}'),
    "a name of colons twice": value_body(b'{"::":1,"::":1}'),
    "a name twice, escaped colons": value_body(rb'{"a":1,"a":"\u003a"}'),
    "65 levels": value_body(b"[" * 64 + b"]" * 64),
    "30,000 open arrays": value_body(b"[" * 30_000),
    "30,000 levels": value_body(b"[" * 30_000 + b"]" * 30_000),
    "10,000 levels of objects": value_body(b'{"":' * 10_000 + b"1" + b"}" * 10_000),
    "an unknown field": b'{"key":"malformed","value":1,"why":1}',
    "a field in other letters": b'{"Key":"malformed","value":1}',
    "a long unknown field": b'{"key":"malformed","value":1,"%s":1}' % (b"x" * 60_000),
    "no value": b'{"key":"malformed"}',
    "no key": b'{"value":1}',
    "a key that is null": b'{"key":null,"value":1}',
    "a key that is a number": b'{"key":1,"value":1}',
    "a key that is a list": b'{"key":["malformed"],"value":1}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_invalid_and_says_where(shared: Talk, body: bytes):
    error = refused(shared, "app_state.set", body)

    assert error["code"] == "invalid"
    assert error["details"]["path"].startswith("$")
    assert len(error["message"]) < 1000


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("jobs.enqueue", {"type": 1, "name": "x"}, "$.type"),
        ("jobs.enqueue", {"type": "", "name": "x"}, "$.type"),
        ("jobs.enqueue", {"type": "x" * 201, "name": "x"}, "$.type"),
        ("jobs.enqueue", JOB | {"priority": 0}, "$.priority"),
        ("jobs.enqueue", JOB | {"priority": 5}, "$.priority"),
        ("jobs.enqueue", JOB | {"priority": "2"}, "$.priority"),
        ("jobs.enqueue", JOB | {"priority": 2.5}, "$.priority"),
        ("jobs.enqueue", JOB | {"priority": True}, "$.priority"),
        ("jobs.enqueue", JOB | {"payload": []}, "$.payload"),
        ("jobs.enqueue", JOB | {"payload": None}, "$.payload"),
        ("jobs.enqueue", JOB | {"payload": "x"}, "$.payload"),
        ("jobs.enqueue", JOB | {"run_at": -1}, "$.run_at"),
        ("jobs.enqueue", JOB | {"run_at": 10**18}, "$.run_at"),
        ("jobs.enqueue", JOB | {"run_at": "tomorrow"}, "$.run_at"),
        ("jobs.enqueue", JOB | {"max_attempts": 0}, "$.max_attempts"),
        ("jobs.enqueue", JOB | {"queue": ""}, "$.queue"),
        ("jobs.claim", {}, "$"),
        ("jobs.claim", {"worker": ""}, "$.worker"),
        ("jobs.claim", {"worker": "w", "limit": 0}, "$.limit"),
        ("jobs.claim", {"worker": "w", "limit": 101}, "$.limit"),
        ("jobs.claim", {"worker": "w", "lease_ms": 999}, "$.lease_ms"),
        ("jobs.claim", {"worker": "w", "lease_ms": 3_600_001}, "$.lease_ms"),
        ("jobs.claim", {"worker": "w", "types": []}, "$.types"),
        ("jobs.claim", {"worker": "w", "types": ["t"] * 10_000}, "$.types"),
        ("jobs.claim", {"worker": "w", "types": "t"}, "$.types"),
        ("jobs.heartbeat", {"id": "j", "lease": "l", "lease_ms": 1}, "$.lease_ms"),
        ("jobs.progress", {"id": "j", "lease": "l", "percent": 101}, "$.percent"),
        ("jobs.complete", {"id": "j"}, "$"),
        ("jobs.fail", {"id": "j", "lease": "l", "error": "x" * 10_001}, "$.error"),
        ("jobs.snooze", {"id": "j", "lease": "l"}, "$"),
        ("rate_limits.observe", {"platform": "git:hub", "remaining": 1}, "$.platform"),
        ("rate_limits.observe", {"platform": "github", "identifier": "me", "remaining": 1}, "$.resource"),
        ("rate_limits.observe", {"platform": "github"}, "$"),
        ("rate_limits.observe", {"platform": "github", "remaining": -1}, "$.remaining"),
        ("rate_limits.observe", {"platform": "github", "remaining": 2**53}, "$.remaining"),
        (
            "rate_limits.observe",
            {"platform": "github", "remaining": 1, "observed_at": 9 * 10**13},
            "$.observed_at",
        ),
        ("tool_configs.set", {"tool_name": "t", "config": []}, "$.config"),
        ("tool_configs.set", {"tool_name": "t", "enabled": 1}, "$.enabled"),
        ("tool_configs.set", {"tool_name": "t", "refresh_interval": 0}, "$.refresh_interval"),
        ("tool_configs.patch", {"tool_name": "t", "patch": [1]}, "$.patch"),
        ("tool_configs.rollback", {"tool_name": "t", "to_version": 0}, "$.to_version"),
        ("app_state.set_if", {"key": "k", "value": 1, "expected_version": -1}, "$.expected_version"),
        ("app_state.set_many", {"items": []}, "$.items"),
        ("app_state.set_many", {"items": [{"key": "k", "value": 1}] * 2}, "$.items[1].key"),
        ("app_state.set_many", {"items": [{"key": f"k{n}", "value": 1} for n in range(5_000)]}, "$.items"),
        ("app_state.set_many", {"items": [{"key": "k", "value": 1}, {"key": "."}]}, "$.items[1].key"),
    ],
)
def test_a_field_that_is_not_its_schemas_is_invalid_and_says_where(
    shared: Talk, name: str, body: Any, path: str
):
    error = refused(shared, name, body)

    assert (error["code"], error["details"]["path"]) == ("invalid", path)


BAD_KEYS = [
    "",
    " ",
    ".",
    "..",
    "a..b",
    "a.",
    ".a",
    "-a",
    "_a",
    "/a",
    "a b",
    "a\tb",
    "a\n",
    "a\r\nb",
    "a\0b",
    "a*",
    "a>",
    "a#b",
    "a%2e",
    "a\\b",
    "é",
    "аdmin",
    "a\u200bb",
    "a\u202eb",
    "日本",
    "😀",
    "x" * 201,
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_what_is_no_key_is_invalid_everywhere(shared: Talk, key: str):
    for name, body, field in (
        ("jobs.enqueue", JOB | {"id": key}, "id"),
        ("jobs.enqueue", JOB | {"queue": key}, "queue"),
        ("rate_limits.observe", {"platform": key, "remaining": 1}, "platform"),
        ("rate_limits.observe", {"platform": "p", "resource": key, "remaining": 1}, "resource"),
        ("tool_configs.set", {"tool_name": key}, "tool_name"),
        ("app_state.set", {"key": key, "value": 1}, "key"),
    ):
        with nothing_stored(shared):
            error = shared.command(name, body).error
        assert (error["code"], error["details"]["path"]) == ("invalid", f"$.{field}"), name
        # Not the pattern, which takes some reading.
        assert "regex" not in error["message"]
        assert "letters, digits" in error["hint"] or len(key) > 64


@pytest.mark.parametrize(
    "key", ["a", "9", "A.b_c:d@e/f+g=h-i", "x" * 200, "a.b.c", "a//b", "a/", "a=", "jobs/1"]
)
def test_every_key_that_the_contract_allows_is_one(shared: Talk, key: str):
    said = stored(shared, "app_state.set", {"key": key, "value": "good key"})

    assert said["stream"] == f"app_state/{key}"
    assert shared.query("app_state.get", {"key": key}).said["key"] == key


VALUES = [
    b"null",
    b"false",
    b"0",
    b"-0.0",
    b"1E5",
    b"1e308",
    b"5e-324",
    b"9007199254740993",
    b"18446744073709551616",
    b"1" * 400,
    b"0.1000000000000000055511151231257827",
    b'""',
    rb'"\u0000"',
    rb'"\ud83d\ude00"',
    '"😀 שלום 日本語 \u2028\u202e\ufeff\uffff\U0010ffff"'.encode(),
    b'"\x7f"',
    rb'"\"\\\/\b\f\n\r\t"',
    b"[]",
    b"{}",
    b'{"":{"":[{"":null}]}}',
    b'{"__proto__":{"constructor":1},"$ref":"#"}',
    b"[ 1 ,\n\t2 ]",
    b'{"b":1,"a":2}',
    b"[" * 60 + b"]" * 60,
    b"[" + b",".join(b"%d" % n for n in range(10_000)) + b"]",
    b'"' + b"'; DROP TABLE app_state; --" + b'"',
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:30].decode(errors="replace"))
def test_a_value_comes_back_as_the_bytes_that_it_was(shared: Talk, value: bytes):
    said = stored(shared, "app_state.set", b'{"key":"as-it-was","value":%s}' % value)

    row = shared.query("app_state.get", {"key": "as-it-was"})
    assert row.body.startswith(b'{"key":"as-it-was","value":%s,"updated_at":' % value)
    events = shared.query("events.read", {"after": said["position"] - 1, "limit": 1})
    assert b'"data":{"value":%s}}' % value in events.body
    assert json.loads(row.body)["value"] == json.loads(events.body)["items"][0]["data"]["value"]


# Sizes


def padded(body: dict[str, Any], field: str, size: int) -> bytes:
    """A body of just that size, filled up in a text field."""
    empty = json.dumps(body | {field: ""}).encode()
    return json.dumps(body | {field: "x" * (size - len(empty))}).encode()


@pytest.mark.parametrize("name", ["jobs.enqueue", "tool_configs.set", "app_state.set_many", "jobs.complete"])
def test_a_body_over_256_kib_is_too_large(shared: Talk, name: str):
    error = refused(shared, name, b"{" + b" " * (256 * KIB))

    assert error["code"] == "too_large"
    assert error["details"] == {"limit_bytes": 256 * KIB, "size_bytes": 256 * KIB + 1}


def test_a_body_of_256_kib_is_taken(shared: Talk):
    body = json.dumps(JOB | {"id": "large", "payload": {"pad": ""}}).encode()
    body = body.replace(b'"pad": ""', b'"pad": "%s"' % (b"x" * (256 * KIB - len(body))))
    assert len(body) == 256 * KIB

    stored(shared, "jobs.enqueue", body)

    assert len(shared.query("jobs.get", {"id": "large"}).said["payload"]["pad"]) > 255 * KIB


@pytest.mark.parametrize("name", ["app_state.set", "app_state.set_if", "app_state.set_many"])
def test_a_value_of_64_kib_is_taken_and_a_larger_one_is_not(shared: Talk, name: str):
    def body(size: int) -> dict[str, Any]:
        item = {"key": f"{name}-{size}", "value": "x" * (size - 2)}
        if name == "app_state.set_many":
            return {"items": [{"key": "beside", "value": size}, item]}
        return item | {"expected_version": 0} if name == "app_state.set_if" else item

    error = refused(shared, name, body(64 * KIB + 1))

    assert error["code"] == "too_large"
    assert error["details"]["limit_bytes"] == 64 * KIB
    stored(shared, name, body(64 * KIB))


def test_a_configuration_may_not_be_patched_beyond_256_kib(shared: Talk):
    half = {part: part * (120 * KIB) for part in "abc"}
    stored(shared, "tool_configs.set", {"tool_name": "growing", "config": {"a": half["a"]}})
    stored(shared, "tool_configs.patch", {"tool_name": "growing", "patch": {"b": half["b"]}})

    error = refused(shared, "tool_configs.patch", {"tool_name": "growing", "patch": {"c": half["c"]}})

    assert error["code"] == "too_large"


# Refusals by state


def test_a_taken_key_already_exists(shared: Talk):
    stored(shared, "jobs.enqueue", JOB | {"id": "taken"})

    assert refused(shared, "jobs.enqueue", JOB | {"id": "taken"})["code"] == "already_exists"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs.heartbeat", LEASED),
        ("jobs.progress", LEASED),
        ("jobs.complete", LEASED),
        ("jobs.interrupt", LEASED),
        ("jobs.ack_cancel", LEASED),
        ("jobs.fail", LEASED | {"error": "x"}),
        ("jobs.snooze", LEASED | {"run_at": 1}),
        ("jobs.cancel", {"id": "nobody"}),
        ("jobs.retry", {"id": "nobody"}),
        ("rate_limits.clear", {"platform": "nobody"}),
        ("tool_configs.patch", {"tool_name": "nobody", "patch": {}}),
        ("tool_configs.enable", {"tool_name": "nobody"}),
        ("tool_configs.disable", {"tool_name": "nobody"}),
        ("tool_configs.set_refresh_interval", {"tool_name": "nobody", "refresh_interval": 1}),
        ("tool_configs.set_notifications", {"tool_name": "nobody", "notifications": True}),
        ("tool_configs.rollback", {"tool_name": "nobody", "to_version": 1}),
        ("tool_configs.delete", {"tool_name": "nobody"}),
        ("app_state.delete", {"key": "nobody"}),
    ],
)
def test_what_is_not_there_is_not_found(shared: Talk, name: str, body: Any):
    assert refused(shared, name, body)["code"] == "not_found"


def test_what_the_domain_says_no_to_is_refused_and_names_the_rule(shared: Talk):
    stored(shared, "jobs.enqueue", JOB | {"id": "ruled", "queue": "ruled"})

    stale = refused(shared, "jobs.complete", {"id": "ruled", "lease": "made up"})
    waiting = refused(shared, "jobs.retry", {"id": "ruled"})
    lease = stored(shared, "jobs.claim", {"worker": "w", "queue": "ruled"})["result"]["jobs"][0]["lease"]
    unasked = refused(shared, "jobs.ack_cancel", {"id": "ruled", "lease": lease})
    stored(shared, "jobs.complete", {"id": "ruled", "lease": lease})
    finished = refused(shared, "jobs.cancel", {"id": "ruled"})
    twice = refused(shared, "jobs.complete", {"id": "ruled", "lease": lease})

    rules = [error["details"]["rule"] for error in (stale, waiting, unasked, finished, twice)]
    assert rules == [
        "stale_lease",
        "not_retryable",
        "cancel_not_requested",
        "already_finished",
        "stale_lease",
    ]
    assert {error["code"] for error in (stale, waiting, unasked, finished, twice)} == {"refused"}


def test_a_credential_is_rejected_and_not_repeated(shared: Talk):
    secret = "ghp_" + "A1b2C3d4" * 5

    error = refused(shared, "tool_configs.set", {"tool_name": "leaky", "config": {"token": secret}})

    assert error["code"] == "secret_rejected"
    assert secret not in json.dumps(error)


# Expected versions


def test_an_expected_version_is_the_one_that_the_stream_must_be_at(shared: Talk):
    def put(value: int, expected: int | str) -> Message:
        return shared.command("app_state.set", {"key": "versioned", "value": value}, expected=expected)

    assert accepted(put(1, 0))["version"] == 1
    for wrong in (0, 2, 10**17):
        with nothing_stored(shared):
            error = put(2, wrong).error
        assert error["code"] == "version_conflict"
        assert error["details"] == {"expected_version": wrong, "actual_version": 1}
    assert accepted(put(2, 1))["version"] == 2
    assert accepted(put(3, "0002"))["version"] == 3


def test_a_new_stream_is_at_version_0(shared: Talk):
    error = refused(shared, "jobs.enqueue", JOB | {"id": "new-stream"}, expected=1)

    assert error["code"] == "version_conflict"
    stored(shared, "jobs.enqueue", JOB | {"id": "new-stream"}, expected=0)
    stored(shared, "jobs.enqueue", JOB, expected=0)
    assert refused(shared, "jobs.enqueue", JOB, expected=1)["code"] == "version_conflict"


@pytest.mark.parametrize("version", ["-1", "+1", "1.0", "1e0", "0x1", "one", "1_0", "١", "1 0", "9" * 19, ""])
def test_what_is_no_version_is_invalid(shared: Talk, version: str):
    error = refused(shared, "app_state.set", {"key": "versioned-badly", "value": 1}, expected=version)

    assert error["code"] == "invalid"
    assert error["details"]["path"] == "Hyperpage-Expected-Version"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs.claim", {"worker": "w", "queue": "nothing-here"}),
        ("app_state.set_many", {"items": [{"key": "spanning", "value": 1}]}),
    ],
)
def test_a_command_that_spans_streams_has_no_version_to_expect(shared: Talk, name: str, body: Any):
    for version in (0, 1):
        assert refused(shared, name, body, expected=version)["code"] == "invalid"


def test_a_batch_as_a_whole_has_no_version_to_expect(shared: Talk):
    error = refused(shared, "batch", {"commands": [{"command": "jobs.enqueue", "body": JOB}]}, expected=0)

    assert error["code"] == "invalid"


# Command ids

REMEMBERED = {
    "several events": (
        "app_state.set_many",
        {"items": [{"key": "m1", "value": 1}, {"key": "m2", "value": 2}]},
    ),
    "one event": ("app_state.set", {"key": "remembered", "value": {"b": 1, "a": [1, 2.50]}}),
    "a minted key": ("jobs.enqueue", JOB),
    "no change": ("app_state.set", {"key": "kept", "value": 1}),
    "nothing persisted": ("rate_limits.observe", {"platform": "x", "remaining": 1, "data_fresh": False}),
    "a claim": ("jobs.claim", {"worker": "w", "queue": "once", "limit": 2}),
}
IDS = [
    "a",
    "x" * 128,
    "00000000-0000-7000-8000-000000000000",
    "with spaces / and: more",
    "ключ 😀",
    "'; --",
    "%s%n",
]


def test_the_same_id_gets_the_same_bytes_and_changes_nothing_also_after_a_restart(own: Talk):
    stored(own, "app_state.set", {"key": "kept", "value": 1})
    for name in ("one", "two", "three"):
        stored(own, "jobs.enqueue", JOB | {"id": name, "queue": "once"})
    first = {
        what: own.command(name, body, id=f"id of {what}").body for what, (name, body) in REMEMBERED.items()
    }

    def asked_again() -> dict[str, bytes]:
        return {
            what: own.command(name, body, id=f"id of {what}", headers={"Hyperpage-Actor": "another"}).body
            for what, (name, body) in REMEMBERED.items()
        }

    position = own.position
    assert asked_again() == first
    assert own.position == position
    own.restart()
    assert asked_again() == first
    assert own.position == position
    commands = [row.command_id for row in own.rows]
    assert [commands.count(f"id of {what}") for what in REMEMBERED] == [2, 1, 1, 0, 0, 2]


@pytest.mark.parametrize("command_id", IDS)
def test_any_text_of_at_most_128_characters_is_an_id(shared: Talk, command_id: str):
    body = {"key": "ids", "value": command_id}

    first = shared.command("app_state.set", body, id=command_id)
    again = shared.command("app_state.set", body, id=command_id)

    assert accepted(first)["command_id"] == command_id
    assert again.body == first.body
    assert shared.rows[-1].command_id == command_id


@pytest.mark.parametrize("command_id", ["x" * 129, "ü" * 129, "😀" * 129, ""])
def test_what_is_too_long_or_empty_is_no_id(shared: Talk, command_id: str):
    error = refused(shared, "app_state.set", {"key": "ids", "value": 0}, id=command_id)

    assert (error["code"], error["details"]["path"]) == ("invalid", "Hyperpage-Command-Id")


@pytest.mark.parametrize("raw", [b"\xff", b"\xffab", b"a\x00b", b"\x00"])
def test_an_id_that_is_no_text_is_refused_and_never_stands_for_another(shared: Talk, raw: bytes):
    # Such as the bytes of a UUID: read with replacements, many of them would be the same text.
    headers = HEADER_LINE + b"Hyperpage-Command-Id: " + raw + b"\r\n\r\n"
    with nothing_stored(shared):
        for _ in range(2):
            asked = shared.client.request(
                "hyperpage.cmd.v1.app_state.set", {"key": "raw", "value": 1}, headers
            )
            error = shared.run(asked).error
            assert (error["code"], error["details"]["path"]) == ("invalid", "Hyperpage-Command-Id")


def test_an_id_that_was_used_for_something_else_is_refused(shared: Talk):
    stored(shared, "app_state.set", {"key": "reused", "value": 1}, id="reused", expected=0)

    for name, body, expected in (
        ("app_state.set", {"key": "reused", "value": 2}, 0),
        ("app_state.set", {"key": "reused-2", "value": 1}, 0),
        ("app_state.set", {"key": "reused", "value": 1}, None),
        ("app_state.set", {"key": "reused", "value": 1}, 1),
        ("app_state.set_if", {"key": "reused", "value": 1, "expected_version": 0}, 0),
        ("app_state.delete", {"key": "reused"}, None),
        ("jobs.enqueue", JOB, None),
    ):
        assert refused(shared, name, body, id="reused", expected=expected)["code"] == "command_id_reused"


def test_a_refused_command_is_not_remembered_and_may_be_tried_again(shared: Talk):
    for refusal in (
        shared.command("app_state.delete", {"key": "later"}, id="tried again"),
        shared.command("app_state.delete", {"wrong": "later"}, id="tried again"),
        shared.command("app_state.delete", {"key": "later"}, id="tried again", expected=7),
        shared.batch(
            {"command": "app_state.delete", "id": "tried again", "body": {"key": "later"}}, atomic=True
        ),
    ):
        assert refusal.code in ("not_found", "invalid", "version_conflict")
    stored(shared, "app_state.set", {"key": "later", "value": 1})

    assert stored(shared, "app_state.delete", {"key": "later"}, id="tried again")["version"] == 2
    assert stored(shared, "app_state.delete", {"key": "later"}, id="tried again")["version"] == 2


def test_heartbeats_and_progress_are_carried_out_each_time(own: Talk):
    stored(own, "jobs.enqueue", JOB | {"id": "beating"})
    lease = stored(own, "jobs.claim", {"worker": "w"})["result"]["jobs"][0]["lease"]
    body = {"id": "beating", "lease": lease}

    before = own.position
    first = stored(own, "jobs.heartbeat", body, id="same id")
    own.later(1_000)
    second = stored(own, "jobs.heartbeat", body, id="same id")

    assert first["events"] == second["events"] == []
    assert second["result"]["lease_expires_at"] == first["result"]["lease_expires_at"] + 1000
    assert own.position == before
    stored(own, "jobs.progress", body | {"percent": 10}, id="same id")
    own.later(30_000)
    stored(own, "jobs.heartbeat", body, id="same id")
    stored(own, "jobs.progress", body | {"percent": 20}, id="same id")
    assert own.query("jobs.get", {"id": "beating"}).said["progress"] == {"percent": 20}
    # The id of a heartbeat or of progress is not remembered, so it can be used again.
    stored(own, "jobs.complete", body, id="same id")


def test_an_empty_claim_is_not_remembered(shared: Talk):
    claim = {"worker": "w", "queue": "empty-at-first"}
    assert stored(shared, "jobs.claim", claim, id="claim of nothing")["result"] == {"jobs": []}
    stored(
        shared, "jobs.enqueue", JOB | {"id": "came later", "queue": "empty-at-first"} | {"id": "came-later"}
    )

    first = shared.command("jobs.claim", claim, id="claim of nothing")

    assert [job["id"] for job in accepted(first)["result"]["jobs"]] == ["came-later"]
    assert shared.command("jobs.claim", claim, id="claim of nothing").body == first.body


def test_commands_with_one_id_at_the_same_time_are_one_command(shared: Talk):
    async def at_once() -> list[Message]:
        subject, headers = "hyperpage.cmd.v1.jobs.enqueue", {"Hyperpage-Command-Id": "at once"}
        return await asyncio.gather(*(shared.client.ask(subject, JOB, headers) for _ in range(100)))

    before = shared.position
    answers = shared.run(at_once())

    assert len({answer.body for answer in answers}) == 1
    assert shared.position == before + 1


# Headers


def test_what_the_caller_says_is_carried_into_the_events(shared: Talk):
    said = {
        "Hyperpage-Actor": "Zoë 😀",
        "Hyperpage-Correlation-Id": "order: 7, part 1",
        "Hyperpage-Causation-Id": "x" * 512,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Another-Header": "which is nobody's business",
    }
    position = stored(shared, "app_state.set", {"key": "said", "value": 1}, id="by-zoe", headers=said)[
        "position"
    ]

    (event,) = shared.query("events.read", {"after": position - 1, "limit": 1}).said["items"]

    assert event["commandid"] == "by-zoe"
    assert event["actor"] == said["Hyperpage-Actor"]
    assert event["correlationid"] == said["Hyperpage-Correlation-Id"]
    assert event["causationid"] == said["Hyperpage-Causation-Id"]
    assert event["traceparent"] == said["traceparent"]
    assert shared.query("app_state.history", {"key": "said"}).said["items"] == [event]
    assert "Another-Header" not in (shared.rows[position - 1].metadata or "")


def test_where_the_caller_says_nothing_only_the_user_is_kept(shared: Talk):
    position = stored(shared, "app_state.set", {"key": "unsaid", "value": 1})["position"]

    (event,) = shared.query("events.read", {"after": position - 1, "limit": 1}).said["items"]

    assert not {"actor", "correlationid", "causationid", "traceparent"} & set(event)
    assert event["principal"] == "app"
    assert shared.rows[position - 1].metadata == '{"principal":"app"}'


def test_a_header_of_more_than_512_characters_is_invalid(shared: Talk):
    for name in ("Hyperpage-Actor", "Hyperpage-Correlation-Id", "Hyperpage-Causation-Id", "traceparent"):
        error = refused(shared, "app_state.set", {"key": "h", "value": 1}, headers={name: "x" * 513})
        assert (error["code"], error["details"]["path"]) == ("invalid", name)


@pytest.mark.parametrize(
    "block",
    [
        b"N",
        b"NATS/1.0",
        b"NATS/1.0\r\n",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\n: no name\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
        b"NATS/1.0\r\nHyperpage-Actor: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\nX: " + b"x" * 900_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        bytes(64),
    ],
    ids=lambda block: block[:30].decode(errors="replace").encode("unicode_escape").decode(),
)
def test_headers_that_are_none_harm_nobody(shared: Talk, block: bytes):
    async def send() -> None:
        inbox = f"{shared.client.inbox}.unheard"
        shared.client.publish("hyperpage.cmd.v1.app_state.delete", {"key": "x"}, reply=inbox, headers=block)
        shared.client.publish("hyperpage.qry.v1.app_state.get", {"key": "x"}, reply=inbox, headers=block)
        shared.client.publish("$SRV.PING", b"", reply=inbox, headers=block)
        await shared.client.flush()

    with nothing_stored(shared):
        shared.run(send())


@pytest.mark.parametrize(
    "subject", [b"hyperpage.cmd.v1.\xff\xfe", b"hyperpage.qry.v1.\xff", b"$SRV.PING.\xff"]
)
def test_a_subject_that_is_not_utf_8_harms_nobody(shared: Talk, subject: bytes):
    async def send() -> None:
        shared.client.publish(subject, b"{}", reply=f"{shared.client.inbox}.unheard")
        shared.client.publish("hyperpage.cmd.v1.app_state.delete", b"{}", reply=b"_INBOX.\xff\xfe")
        await shared.client.flush()

    with nothing_stored(shared):
        shared.run(send())


# Reply subjects


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "hyperpage.evt.v1.jobs.x.enqueued",
        "hyperpage.cmd.v1.app_state.set",
        "hyperpage.dcmd.v1.app_state.set",
        "hyperpage.res.v1.x",
        "$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS",
        "$KV.hyperpage_app_state.x",
        "$SRV.PING",
        "_INBOX",
        "_INBOXES.x",
        "_inbox.x",
        "INBOX.x",
        "x._INBOX.x",
        "_INBOX_relay.x",
        "_INBOX_responder.x",
        "_INBOX_admin.x",
    ],
)
def test_a_request_whose_answer_would_not_go_to_an_inbox_is_dropped_and_counted(
    shared: Talk, reply: str | None
):
    async def send() -> None:
        heard = shared.client.subscribe("hyperpage.evt.v1.>")
        results = shared.client.subscribe("hyperpage.res.v1.>")
        headers = {"Hyperpage-Command-Id": "dropped"}
        body = {"key": "dropped", "value": 1}
        shared.client.publish("hyperpage.cmd.v1.app_state.set", body, reply=reply, headers=headers)
        shared.client.publish("hyperpage.cmd.v1.nonsense", b"", reply=reply)
        shared.client.publish("hyperpage.qry.v1.jobs.count", b"", reply=reply)
        # This query is answered last, since it was sent last.
        await shared.client.query("jobs.count")
        assert heard.empty()
        assert results.empty()

    before = shared.status["dropped_requests"]
    with nothing_stored(shared):
        shared.run(send())
    assert shared.status["dropped_requests"] == before + 3
    assert shared.query("app_state.get", {"key": "dropped"}).code == "not_found"


def test_an_answer_reaches_the_longest_reply_subject_that_there_can_be(shared: Talk):
    longest = 4096 - len("PUB hyperpage.cmd.v1.app_state.set  2\r\n") - 10
    reply = f"{shared.client.inbox}.{'x' * longest}"[:longest]

    async def send() -> Message:
        answers = shared.client.subscribe(f"{shared.client.inbox}.*")
        await shared.client.flush()
        shared.client.publish("hyperpage.cmd.v1.app_state.set", b"{}", reply=reply)
        async with asyncio.timeout(30):
            return await answers.get()

    with nothing_stored(shared):
        assert shared.run(send()).code == "invalid"


def test_the_inbox_prefix_is_a_setting(tmp_path: Path):
    with Talk(tmp_path, inbox_prefix="_INBOX.mine.") as talk:
        assert talk.client.errors == []

        async def send(reply: str) -> None:
            talk.client.publish("hyperpage.cmd.v1.app_state.set", {"key": "k", "value": reply}, reply=reply)
            await talk.client.flush()

        # The usual prefix of inboxes is not enough here.
        talk.run(send("_INBOX.other.1"))
        assert talk.run(answer_on(talk, "_INBOX.mine.1")).code is None
        assert [json.loads(str(row.data)) for row in talk.rows] == [{"value": "_INBOX.mine.1"}]


async def answer_on(talk: Talk, reply: str) -> Message:
    answers = talk.client.subscribe(reply)
    talk.client.publish("hyperpage.cmd.v1.app_state.set", {"key": "k", "value": reply}, reply=reply)
    async with asyncio.timeout(30):
        return await answers.get()


# Batches


def test_a_batch_answers_each_command_in_order(shared: Talk):
    answer = shared.batch(
        {"command": "app_state.set", "id": "b-1", "body": {"key": "batched", "value": 1}},
        {"command": "app_state.delete", "body": {"key": "not-there"}},
        {"command": "no.such", "body": {}},
        {"command": "app_state.set", "body": {"key": "batched"}},
        {"command": "app_state.set", "expected_version": 1, "body": {"key": "batched", "value": 2}},
        {"command": "app_state.set", "expected_version": 1, "body": {"key": "batched", "value": 3}},
        {"command": "jobs.claim", "body": {"worker": "w", "queue": "batched"}},
        {"command": "batch", "body": {"commands": []}},
        headers={"Hyperpage-Actor": "batcher"},
    )

    outcomes = answer.said["outcomes"]
    codes = [outcome["error"]["code"] if "error" in outcome else None for outcome in outcomes]
    assert codes == [None, "not_found", "not_found", "invalid", None, "version_conflict", None, "not_found"]
    assert answer.headers == {}
    assert outcomes[0]["command_id"] == "b-1"
    assert [outcomes[0]["version"], outcomes[4]["version"]] == [1, 2]
    assert outcomes[6]["result"] == {"jobs": []}
    history = shared.query("app_state.history", {"key": "batched"}).said["items"]
    assert [event["actor"] for event in history] == ["batcher", "batcher"]


def test_the_outcomes_of_a_batch_are_what_each_command_would_have_been_answered(shared: Talk):
    answer = shared.batch(
        {"command": "app_state.set", "id": "within", "body": {"key": "within", "value": 1}},
        {"command": "app_state.delete", "body": {"key": "not-there"}},
    )

    alone = shared.command("app_state.set", {"key": "within", "value": 1}, id="within")
    error = shared.command("app_state.delete", {"key": "not-there"}).body
    # A refusal says which command it is about, too.
    error = error.replace(b'"details":{}', b'"details":{"index":1}')
    assert answer.body == b'{"outcomes":[' + alone.body + b"," + error + b"]}"


ATOMIC_FAILURES = {
    "not_found": {"command": "app_state.delete", "body": {"key": "not-there"}},
    "invalid": {"command": "app_state.set", "body": {"key": "malformed"}},
    "version_conflict": {
        "command": "app_state.set",
        "expected_version": 9,
        "body": {"key": "a-1", "value": 0},
    },
    "already_exists": {"command": "jobs.enqueue", "body": JOB | {"id": "a-job"}},
    "too_large": {"command": "app_state.set", "body": {"key": "a-big", "value": "x" * 64 * KIB}},
    "refused": {"command": "jobs.complete", "body": {"id": "a-job", "lease": "none"}},
    "command_id_reused": {"command": "app_state.set", "id": "a-first", "body": {"key": "a-1", "value": 7}},
}


@pytest.mark.parametrize("place", [3, 10])
@pytest.mark.parametrize("code", ATOMIC_FAILURES)
def test_an_atomic_batch_with_a_refused_command_does_nothing(shared: Talk, code: str, place: int):
    good = [
        {"command": "jobs.enqueue", "body": JOB | {"id": "a-job", "queue": "atomic"}},
        {"command": "app_state.set", "id": "a-first", "body": {"key": "a-1", "value": 1}},
        {"command": "jobs.claim", "body": {"worker": "w", "queue": "atomic"}},
        *(
            {"command": "app_state.set", "id": f"a-{n}", "body": {"key": f"a-{n}", "value": n}}
            for n in range(2, 9)
        ),
    ]
    commands = [*good[:place], ATOMIC_FAILURES[code], *good[place:]]

    with nothing_stored(shared):
        answer = shared.batch(*commands, atomic=True)

    assert answer.code == code
    assert answer.error["details"]["index"] == place
    assert list(answer.said) == ["error"]
    assert shared.query("app_state.get", {"key": "a-1"}).code == "not_found"
    assert shared.query("jobs.get", {"id": "a-job"}).code == "not_found"
    # The batch's ids are unused, the claimed job waits again, and the keys do not exist.
    assert shared.query("app_state.history", {"key": "a-2"}).code == "not_found"


def test_an_atomic_batch_is_carried_out_as_a_whole(shared: Talk):
    commands = [
        {"command": "app_state.set", "id": f"whole-{n}", "body": {"key": f"whole-{n % 10}", "value": n}}
        for n in range(100)
    ]
    before = shared.position

    answer = shared.batch(*commands, atomic=True)

    positions = [outcome["position"] for outcome in answer.said["outcomes"]]
    assert positions == list(range(before + 1, before + 101))
    assert len({row.recorded_at for row in shared.rows[before:]}) == 1
    assert shared.batch(*commands, atomic=True).body == answer.body
    assert shared.position == before + 100


def test_in_a_batch_only_the_inner_ids_count(shared: Talk):
    command = {"command": "jobs.enqueue", "body": JOB}

    first = shared.batch(command, id="of the whole").said["outcomes"][0]
    again = shared.batch(command, id="of the whole").said["outcomes"][0]

    assert first["stream"] != again["stream"]
    stored(shared, "jobs.enqueue", JOB, id="of the whole")


def test_a_batch_with_an_id_that_is_none_refuses_that_command_alone(shared: Talk):
    def command(command_id: str) -> dict[str, Any]:
        return {"command": "app_state.set", "id": command_id, "body": {"key": "ids", "value": command_id}}

    answer = shared.batch(command("x" * 129), command(""), command("a\0b"), command("fine"))
    again = shared.batch(command("a\0b"), command("fine"))

    outcomes = answer.said["outcomes"]
    assert [outcomes[n]["error"]["code"] for n in (0, 1, 2)] == ["invalid"] * 3
    assert outcomes[3]["command_id"] == "fine"
    assert again.said["outcomes"][0]["error"]["code"] == "invalid"
    assert again.said["outcomes"][1] == outcomes[3]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"commands": []}, "invalid"),
        ({"commands": {}}, "invalid"),
        ({"commands": [{}]}, "invalid"),
        ({"commands": [1]}, "invalid"),
        ({"commands": [{"command": "jobs.enqueue", "body": JOB, "why": 1}]}, "invalid"),
        ({"commands": [{"command": "jobs.enqueue", "body": JOB}], "atomic": "yes"}, "invalid"),
        ({"commands": [{"command": "jobs.enqueue", "body": JOB}], "id": "x"}, "invalid"),
        ({"commands": [{"command": "jobs.enqueue", "body": JOB, "expected_version": "0"}]}, "invalid"),
        ({"commands": [{"command": "jobs.enqueue", "body": JOB}] * 1001}, "too_large"),
        (
            {"commands": [{"command": "app_state.set", "body": {"key": "k", "value": "x"}}] * 10_000},
            "too_large",
        ),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(shared: Talk, body: Any, code: str):
    assert refused(shared, "batch", body)["code"] == code


@pytest.mark.parametrize("body", [[], None, 1, "x", {"key": 1}])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_command_of_a_batch_whose_body_is_none_is_invalid(shared: Talk, body: Any, atomic: bool):
    with nothing_stored(shared):
        answer = shared.batch({"command": "app_state.set", "body": body}, atomic=atomic)
        error = answer.said["error"] if atomic else answer.said["outcomes"][0]["error"]
        assert (error["code"], error["details"]["index"]) == ("invalid", 0)


def test_a_command_of_a_batch_may_be_as_large_as_alone_and_no_larger(shared: Talk):
    def command(size: int) -> dict[str, Any]:
        return {"command": "app_state.set", "body": {"key": "in-a-batch", "value": "x" * (size - 2)}}

    outcomes = shared.batch(command(64 * KIB), command(64 * KIB + 1)).said["outcomes"]

    assert outcomes[0]["stream"] == "app_state/in-a-batch"
    assert outcomes[1]["error"]["code"] == "too_large"


def test_a_batch_of_1000_commands_and_960_kib_is_taken_and_a_larger_one_is_not(shared: Talk):
    def body(size: int) -> bytes:
        commands = [{"command": "app_state.set", "body": {"key": f"b{n}", "value": n}} for n in range(1000)]
        encoded = json.dumps({"commands": commands}).encode()
        return encoded + b" " * (size - len(encoded))

    error = refused(shared, "batch", body(960 * KIB + 1))
    before = shared.position
    answer = shared.command("batch", body(960 * KIB))

    assert (error["code"], error["details"]["limit_bytes"]) == ("too_large", 960 * KIB)
    assert len(answer.said["outcomes"]) == 1000
    assert shared.position == before + 1000


def test_the_answers_of_a_batch_fit_into_a_message_also_when_they_were_given_before(own: Talk):
    payload = {"pad": "x" * 200 * KIB}
    for number in range(6):
        stored(own, "jobs.enqueue", JOB | {"id": f"big-{number}", "payload": payload})
    claims = [("claim-1", {"worker": "w", "limit": 3}), ("claim-2", {"worker": "w", "limit": 3})]
    answers = [own.command("jobs.claim", body, id=command_id) for command_id, body in claims]
    assert all(len(answer.body) > 600 * KIB for answer in answers)
    position = own.position

    again = own.batch(
        *({"command": "jobs.claim", "id": command_id, "body": body} for command_id, body in claims)
    )

    outcomes = again.said["outcomes"]
    assert len(again.body) < 1024 * KIB
    assert outcomes[0] == answers[0].said
    assert outcomes[1]["error"]["code"] == "too_large"
    assert own.position == position
    # Alone, it is answered as before.
    assert own.command("jobs.claim", claims[1][1], id="claim-2").body == answers[1].body


def test_the_answer_to_a_batch_fits_into_a_message_whatever_is_wrong_with_it(shared: Talk):
    # Each of these characters takes six bytes, in what is sent and in what is said about it.
    fields = {"\1" * 156: 1}
    batch = json.dumps(
        {"commands": [{"command": "app_state.set", "body": fields}] * 1000}, separators=(",", ":")
    )
    assert len(batch) < 960 * KIB

    with nothing_stored(shared):
        answer = shared.command("batch", batch.encode())

    assert [outcome["error"]["code"] for outcome in answer.said["outcomes"]] == ["invalid"] * 1000


def test_the_claims_of_a_batch_share_the_room_of_one_answer(own: Talk):
    for number in range(10):
        stored(own, "jobs.enqueue", JOB | {"id": f"big-{number}", "payload": {"pad": "x" * 200 * KIB}})
    claims = [{"command": "jobs.claim", "id": f"c{n}", "body": {"worker": "w", "limit": 2}} for n in range(5)]

    answer = own.batch(*claims)

    taken = [len(outcome["result"]["jobs"]) for outcome in answer.said["outcomes"]]
    assert len(answer.body) < 1024 * KIB
    assert sum(taken) in (3, 4)
    assert own.query("jobs.count", {"status": "running"}).said["count"] == sum(taken)


# Too much, and what is not the command's fault


def test_when_too_much_waits_the_rest_is_busy_and_what_waits_is_answered(tmp_path: Path):
    async def flood() -> list[Message]:
        batch = {"commands": [{"command": "jobs.enqueue", "body": JOB}] * 1000}
        answers = [own.client.ask("hyperpage.cmd.v1.batch", batch) for _ in range(24)]
        await own.client.flush()
        refusal, _ = await first_refused(answers)
        assert refusal.error["details"]["retry_after_ms"] > 0
        locked.execute("ROLLBACK")
        async with asyncio.timeout(30):
            return await asyncio.gather(*answers)

    # No limit on the time of waiting: this test is about the room for waiting commands.
    with Talk(tmp_path, busy_after_ms=0) as own:
        locked = apsw.Connection(str(own.settings.store_path))
        locked.set_busy_timeout(10_000)
        locked.execute("BEGIN IMMEDIATE")
        answers = own.run(flood())
        locked.close()

        codes = [answer.code for answer in answers]
        assert set(codes) == {None, "busy"}
        assert 20 <= codes.count(None) <= 22
        assert own.position == 1000 * codes.count(None)
        stored(own, "jobs.enqueue", JOB)


async def first_refused(answers: "list[asyncio.Future[Message]]") -> tuple[Message, int]:
    async with asyncio.timeout(30):
        for number in range(len(answers)):
            done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            refusals = [one.result() for one in done if one.result().code is not None]
            if refusals:
                return refusals[0], number
    raise AssertionError("none was refused")


def test_a_store_that_cannot_be_written_is_unavailable_until_it_can(own: Talk):
    own.service.leading.writer.call(lambda connection: connection.set_busy_timeout(50), lambda _: None)
    stored(own, "app_state.set", {"key": "before", "value": 1})
    locked = apsw.Connection(str(own.settings.store_path))
    locked.set_busy_timeout(10_000)
    locked.execute("BEGIN IMMEDIATE")

    error = own.command("app_state.set", {"key": "meanwhile", "value": 1}, id="kept trying").error
    status = own.status
    locked.execute("ROLLBACK")
    locked.close()

    assert error["code"] == "unavailable"
    assert error["details"]["retry_after_ms"] > 0
    assert status["status"] == "unhealthy"
    assert stored(own, "app_state.set", {"key": "meanwhile", "value": 1}, id="kept trying")["position"] == 2
    wait_for(lambda: own.status["status"] == "healthy")


def test_a_defect_is_internal_names_an_incident_alone_and_leaves_the_others_be(own: Talk):
    stored(own, "app_state.set", {"key": "damaged", "value": "TOP-SECRET"})
    own.stop()
    store = apsw.Connection(str(own.settings.store_path))
    store.execute("""UPDATE events SET data = '{"value": TOP-SECRET' WHERE position = 1""")
    store.close()
    own.start()

    async def together() -> list[Message]:
        commands = [("damaged", 1), ("whole", 2), ("damaged", 3), ("whole", 4)]
        subject = "hyperpage.cmd.v1.app_state.set"
        return await asyncio.gather(
            *(own.client.ask(subject, {"key": key, "value": value}) for key, value in commands)
        )

    answers = own.run(together())

    assert [answer.code for answer in answers] == ["internal", None, "internal", None]
    error = answers[0].error
    assert error["message"] == f"internal error; incident {error['details']['incident']}"
    assert set(error["details"]) == {"incident"}
    assert b"SECRET" not in answers[0].body
    assert own.query("app_state.history", {"key": "damaged"}).code in (None, "internal")


def test_every_command_of_the_catalogue_is_served(shared: Talk):
    for name, (_, verb) in VERBS.items():
        if not verb.internal:
            assert shared.command(name, b'{"no such field":1}').code == "invalid", name
    assert {name.partition(".")[0] for name in VERBS} >= set(TABLES)
