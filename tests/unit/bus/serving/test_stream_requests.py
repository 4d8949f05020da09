"""Requests about messages and consumers, as far as a user may make them."""

import json
from typing import Any

import msgspec
import pytest

from bus.contract.rights import EVERYTHING, Rights
from bus.contract.senders import UserSubjects
from bus.serving.consumer_requests import (
    IDLE_NS,
    ConsumerRequest,
    consumer_of,
    is_within,
    shown_consumer,
)
from bus.serving.stream_requests import ApiRefusal, directly_asked, message_asked, shown_message
from bus.serving.stream_scope import Scope, scope_of
from hyperpage_client.contract.subjects import BusNames

NAMES = BusNames()
SUBJECTS = UserSubjects(NAMES)
JOBS = Rights(follows=("jobs",))
EVENT, OTHERS = "hyperpage.evt.v1.jobs.1.enqueued", "hyperpage.evt.v1.queues.1.paused"


def scope(stream: str, rights: Rights = EVERYTHING) -> Scope:
    found = scope_of(stream, "billing", rights, NAMES)
    assert found is not None
    return found


WHOLE, PART, RESULTS = scope(NAMES.events), scope(NAMES.events, JOBS), scope(NAMES.results)


def making(name: str | None = "mine", stream: str = NAMES.events, **config: Any) -> bytes:
    return json.dumps({"stream_name": stream, "config": ({"name": name} if name else {}) | config}).encode()


def consumer(
    body: bytes, seen: Scope = WHOLE, *, name: str | None = "mine", stream: str = NAMES.events
) -> ConsumerRequest:
    return consumer_of(body, name, stream, seen, "billing", SUBJECTS)


def known(subject: str) -> str:
    return subject


def test_a_consumer_is_asked_for_under_its_real_name():
    request = consumer(making(durable_name="mine", ack_policy="explicit"))

    said = msgspec.json.decode(request.body("billing-mine-0"))
    assert said["stream_name"] == NAMES.events
    assert said["config"] == {
        "name": "billing-mine-0",
        "durable_name": "billing-mine-0",
        "ack_policy": "explicit",
        "inactive_threshold": IDLE_NS,
    }


def test_a_consumer_without_a_name_gets_one():
    first, second = (consumer(making(None), name=None) for _ in range(2))

    assert first.name != second.name
    assert not first.is_durable


@pytest.mark.parametrize("deliver", ["_INBOX.x", "_INBOX_billing.x"])
def test_a_consumer_delivers_into_its_users_inboxes(deliver: str):
    request = consumer(making(deliver_subject=deliver))

    assert request.config["deliver_subject"] == f"hyperpage_to.billing.{deliver}"


@pytest.mark.parametrize(
    "deliver",
    [
        "_INBOX_rival.x",
        "hyperpage_to.rival._INBOX.x",
        EVENT,
        "hyperpage.usr.rival.cmd.v1.x",
        "$JS.API.INFO",
        7,
    ],
)
def test_a_consumer_that_delivers_elsewhere_is_refused(deliver: Any):
    with pytest.raises(ApiRefusal) as refused:
        consumer(making(deliver_subject=deliver))

    assert refused.value.code == 403


@pytest.mark.parametrize(
    ("seen", "config", "filters"),
    [
        (WHOLE, {}, {}),
        (WHOLE, {"filter_subject": ">"}, {}),
        (WHOLE, {"filter_subject": OTHERS}, {"filter_subject": OTHERS}),
        (PART, {}, {"filter_subjects": ["hyperpage.evt.v1.jobs.>", "hyperpage.evt.v1.system.>"]}),
        (PART, {"filter_subject": EVENT}, {"filter_subject": EVENT}),
        (PART, {"filter_subjects": [EVENT]}, {"filter_subject": EVENT}),
        (RESULTS, {}, {"filter_subject": "hyperpage.usr.billing.res.v1.>"}),
        (
            RESULTS,
            {"filter_subject": "hyperpage.res.v1.c"},
            {"filter_subject": "hyperpage.usr.billing.res.v1.c"},
        ),
    ],
)
def test_a_consumers_filters_are_its_users_part_of_the_stream(
    seen: Scope, config: dict[str, Any], filters: dict[str, Any]
):
    request = consumer(making(**config), seen)

    assert {key: value for key, value in request.config.items() if key.startswith("filter")} == filters
    assert is_within({"config": request.config}, seen)


@pytest.mark.parametrize(
    ("seen", "config"),
    [
        (PART, {"filter_subject": OTHERS}),
        (PART, {"filter_subject": "hyperpage.evt.v1.>"}),
        (PART, {"filter_subjects": [EVENT, OTHERS]}),
        (PART, {"filter_subject": EVENT, "filter_subjects": [EVENT]}),
        (PART, {"filter_subject": {"a": 1}}),
        (PART, {"filter_subjects": "x"}),
        (PART, {"filter_subjects": [7]}),
        (WHOLE, {"filter_subject": "a b"}),
        (WHOLE, {"filter_subject": "a..b"}),
        (WHOLE, {"filter_subject": "a.>.b"}),
        (WHOLE, {"filter_subject": "x" * 2_001}),
        (RESULTS, {"filter_subject": "hyperpage.usr.rival.res.v1.>"}),
        (WHOLE, {"direct": True}),
        (WHOLE, {"subject_transforms": [{"src": "a", "dest": "b"}]}),
        (WHOLE, {"name": "other"}),
        (WHOLE, {"durable_name": "other"}),
        (WHOLE, {"durable_name": ["mine"]}),
    ],
)
def test_any_other_consumer_is_refused(seen: Scope, config: dict[str, Any]):
    with pytest.raises(ApiRefusal):
        consumer(making(**config), seen)


def test_a_consumer_of_another_stream_than_the_subject_says_is_refused():
    with pytest.raises(ApiRefusal):
        consumer(making(stream=NAMES.commands))


@pytest.mark.parametrize(
    ("config", "is_his"),
    [
        ({}, False),
        ({"filter_subject": EVENT}, True),
        ({"filter_subject": OTHERS}, False),
        ({"filter_subjects": [EVENT, OTHERS]}, False),
        ({"filter_subjects": [EVENT]}, True),
    ],
)
def test_a_consumer_that_is_there_is_within_a_part_or_not(config: dict[str, Any], is_his: bool):
    assert is_within({"config": config}, PART) is is_his
    assert is_within({"config": config}, WHOLE)


def test_a_consumer_is_shown_as_its_user_knows_it():
    answer = {
        "name": "billing-mine-0",
        "config": {
            "name": "billing-mine-0",
            "durable_name": "billing-mine-0",
            "deliver_subject": "hyperpage_to.billing._INBOX.x",
            "filter_subject": "hyperpage.usr.billing.res.v1.>",
            "filter_subjects": ["hyperpage.usr.billing.res.v1.c"],
        },
    }

    shown = json.loads(
        shown_consumer(json.dumps(answer).encode(), "mine", "billing-mine-0", "billing", SUBJECTS)
    )

    assert shown == {
        "name": "mine",
        "config": {
            "name": "mine",
            "durable_name": "mine",
            "deliver_subject": "_INBOX.x",
            "filter_subject": "hyperpage.res.v1.>",
            "filter_subjects": ["hyperpage.res.v1.c"],
        },
    }


@pytest.mark.parametrize(
    "body",
    [
        {"seq": 1},
        {"last_by_subj": EVENT},
        {"seq": 5, "next_by_subj": "hyperpage.evt.v1.jobs.>"},
        {"batch": 10, "next_by_subj": "hyperpage.evt.v1.jobs.*.enqueued"},
        {"multi_last": [EVENT, "hyperpage.evt.v1.system.>"], "up_to_seq": 7},
    ],
)
def test_messages_of_ones_own_part_are_asked_for(body: dict[str, Any]):
    request = directly_asked(json.dumps(body).encode(), PART, known)

    assert json.loads(msgspec.json.encode(request)) == body


@pytest.mark.parametrize(
    ("seen", "body", "code"),
    [
        (PART, {"last_by_subj": OTHERS}, 403),
        (PART, {"seq": 1, "next_by_subj": "hyperpage.evt.v1.>"}, 403),
        (PART, {"multi_last": [EVENT, OTHERS]}, 403),
        # Several come as they are, so they are named.
        (PART, {"seq": 1, "batch": 2}, 403),
        (PART, {"batch": 2, "start_time": "2000-01-01T00:00:00Z"}, 403),
        (RESULTS, {"batch": 1}, 403),
        (RESULTS, {"last_by_subj": "hyperpage.usr.rival.res.v1.c"}, 403),
        (WHOLE, {"last_by_subj": "a b"}, 400),
        (WHOLE, {"multi_last": ["a..b"]}, 400),
        (WHOLE, {"seq": "1"}, 400),
        (WHOLE, {"unknown": 1}, 400),
    ],
)
def test_other_messages_are_not(seen: Scope, body: dict[str, Any], code: int):
    with pytest.raises(ApiRefusal) as refused:
        directly_asked(json.dumps(body).encode(), seen, known)

    assert refused.value.code == code


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a\\r\\n":1}'])
def test_what_cannot_be_read_is_refused(body: bytes):
    with pytest.raises(ApiRefusal) as refused:
        message_asked(body, WHOLE, known)

    assert refused.value.code == 400
    assert json.loads(refused.value.body)["error"]["err_code"] == 10_025


def test_a_message_that_is_not_in_ones_part_is_not_shown():
    answers = [
        json.dumps({"message": {"subject": subject, "seq": 1}}).encode() for subject in (EVENT, OTHERS)
    ]
    seen, hidden = (json.loads(shown_message(answer, PART, known)) for answer in answers)

    assert seen["message"]["subject"] == EVENT
    assert hidden["error"]["code"] == 404
