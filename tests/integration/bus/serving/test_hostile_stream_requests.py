"""Requests about streams that no library would send: they get an answer, and harm no other user."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bus.broker.users import APP, RELAY, RESPONDER
from hyperpage_client.contract.subjects import BusNames
from tests.support.services.raw_nats import Message, RawNats
from tests.support.services.users_at_work import BILLING, CLERK, EVENT, RIVAL, SECONDS, UsersAtWork, own_users

EVENTS = "HYPERPAGE_EVENTS"
# nats-server ends the connection of a client of which a control line is longer.
LONGEST_LINE = 4_096


def connections(bus: UsersAtWork) -> dict[str, int]:
    """How often each of the service's connections had to be made again."""
    return {user: bus.clients[user].stats["reconnects"] for user in (RELAY, RESPONDER)}


async def sent_raw(bus: UsersAtWork, user: str, subject: str, body: Any, reply: str) -> None:
    async with await RawNats.connect(bus.url_of(user)) as raw:
        raw.publish(subject, body, reply=reply)
        await raw.flush()
        await bus.settled()


@pytest.mark.parametrize("spare", [0, 8, 16, 24, 32, 64, 128, 1_000])
@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.INFO",
        f"$JS.API.DIRECT.GET.{EVENTS}",
        f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.x",
        "hyperpage.cmd.v1.a",
        "hyperpage.qry.v1.echo",
        "$SRV.PING",
    ],
)
def test_a_reply_subject_as_long_as_there_can_be_cuts_nobody_off(bus: UsersAtWork, subject: str, spare: int):
    before = connections(bus)
    room = LONGEST_LINE - len(f"{subject}  2") - spare

    bus.run(sent_raw(bus, RIVAL, subject, b"{}", "_INBOX.".ljust(room, "x")))

    assert connections(bus) == before
    assert bus.violations[RELAY] == bus.violations[RESPONDER] == []


@pytest.mark.parametrize("spare", [8, 64, 200, 1_000])
@pytest.mark.parametrize(
    "beginning",
    [
        f"DIRECT.GET.{EVENTS}.",
        f"DIRECT.GET.{EVENTS}.hyperpage.evt.v1.jobs.",
        "DIRECT.GET.HYPERPAGE_RESULTS.hyperpage.res.v1.",
        f"CONSUMER.MSG.NEXT.{EVENTS}.",
        f"CONSUMER.INFO.{EVENTS}.",
        "DIRECT.GET.",
        "STREAM.INFO.",
        "CONSUMER.NAMES.",
    ],
)
def test_a_subject_as_long_as_there_can_be_cuts_nobody_off(bus: UsersAtWork, beginning: str, spare: int):
    before = connections(bus)
    subject = f"$JS.API.{beginning}"
    room = LONGEST_LINE - len(" _INBOX.x 2") - spare

    bus.run(sent_raw(bus, RIVAL, subject.ljust(room, "x"), b"{}", "_INBOX.x"))

    assert connections(bus) == before


ODD_SUBJECTS = {
    "long": "hyperpage.evt.v1.".ljust(5_000, "x"),
    "longer than a line with what is around it": "hyperpage.evt.v1.".ljust(3_990, "x"),
    "with a space": f"{EVENT} 5",
    "with a line": f"{EVENT} 0\r\n\r\nPUB $JS.API.STREAM.PURGE.{EVENTS} 0\r\n\r\n",
    "with a tab": f"{EVENT}\t_INBOX_relay.x",
    "with NUL": f"{EVENT}\0",
    "empty tokens": "hyperpage..evt",
    "ends with a dot": "hyperpage.evt.",
    "begins with a dot": ".hyperpage",
    "wildcard in the middle": "hyperpage.>.evt",
    "not of this stream": "hyperpage.dcmd.v1.>",
    "beyond ASCII": "hyperpage.evt.v1.é",
    "a surrogate": "hyperpage.evt.v1.\ud800",
}


@pytest.mark.parametrize("field", ["filter_subject", "filter_subjects"])
@pytest.mark.parametrize("odd", ODD_SUBJECTS)
def test_an_odd_filter_is_answered_with_an_error_or_taken_and_does_nothing_else(
    bus: UsersAtWork, odd: str, field: str
):
    before = connections(bus)
    value: Any = ODD_SUBJECTS[odd] if field == "filter_subject" else [ODD_SUBJECTS[odd], EVENT]

    async def scenario() -> Any:
        contents = await bus.contents()
        answer = await bus.create_consumer(RIVAL, EVENTS, "odd", **{field: value})
        assert await bus.contents() == contents
        return answer

    answer = bus.run(scenario())

    assert answer.get("error", {"code": 400})["code"] in (400, 403, 404)
    assert connections(bus) == before


@pytest.mark.parametrize("field", ["last_by_subj", "next_by_subj", "multi_last"])
@pytest.mark.parametrize("verb", ["STREAM.MSG.GET", "DIRECT.GET"])
@pytest.mark.parametrize("odd", ODD_SUBJECTS)
def test_an_odd_subject_of_a_message_is_answered_and_does_nothing_else(
    bus: UsersAtWork, odd: str, verb: str, field: str
):
    before = connections(bus)
    value = ODD_SUBJECTS[odd]
    body = json.dumps({field: [value] if field == "multi_last" else value}).encode()

    async def scenario() -> None:
        contents = await bus.contents()
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            await raw.request(f"$JS.API.{verb}.{EVENTS}", body)
        assert await bus.contents() == contents

    bus.run(scenario())

    assert connections(bus) == before


def making(**config: Any) -> bytes:
    """A request to make a consumer."""
    return json.dumps({"stream_name": EVENTS, "config": config}).encode()


BODIES = {
    "no JSON": b"{",
    "not UTF-8": b'{"seq": "\xff\xfe"}',
    "a list": b"[1]",
    "null": b"null",
    "a number": b"1",
    "deep": b"[" * 10_000,
    "deep in a configuration": b'{"stream_name":"HYPERPAGE_EVENTS","config":' + b'{"a":' * 10_000,
    "a field with a line's end": b'{"x\\r\\nHyperpage-Principal: admin\\r\\n": 1}',
    "a field beyond ASCII": '{"é\r\n": 1}'.encode().replace(b"\r\n", b"\\r\\n"),
    "huge numbers": b'{"seq": 1e400, "batch": 99999999999999999999999}',
    "negative": b'{"seq": -1, "batch": -5, "offset": -7}',
    "a configuration that is a list": b'{"stream_name":"HYPERPAGE_EVENTS","config":[]}',
    "names that are numbers": making(name=7),
    "names that are lists": making(name=["x"], durable_name=["x"]),
    "filters that are numbers": making(name="x", filter_subjects=7),
    "deliver that is a number": making(name="x", deliver_subject=7),
    "a filter that is an object": making(name="x", filter_subject={}),
    "large": b'{"stream_name":"' + b"x" * 900_000 + b'"}',
}
ASKED = [
    "INFO",
    "STREAM.NAMES",
    f"STREAM.INFO.{EVENTS}",
    f"STREAM.MSG.GET.{EVENTS}",
    f"DIRECT.GET.{EVENTS}",
    f"CONSUMER.CREATE.{EVENTS}",
    f"CONSUMER.CREATE.{EVENTS}.x",
    f"CONSUMER.CREATE.{EVENTS}.x.{EVENT}",
    f"CONSUMER.DURABLE.CREATE.{EVENTS}.x",
    f"CONSUMER.NAMES.{EVENTS}",
    f"CONSUMER.LIST.{EVENTS}",
    f"CONSUMER.INFO.{EVENTS}.x",
    f"CONSUMER.DELETE.{EVENTS}.x",
    f"CONSUMER.MSG.NEXT.{EVENTS}.x",
    "STREAM",
    "CONSUMER",
    "DIRECT.GET",
    "CONSUMER.CREATE",
    f"CONSUMER.INFO.{EVENTS}",
    f"CONSUMER.INFO.{EVENTS}.a*",
    f"CONSUMER.INFO.{EVENTS}.*",
    f"CONSUMER.DELETE.{EVENTS}.>",
    f"CONSUMER.CREATE.{EVENTS}.a/b",
    f"CONSUMER.CREATE.{EVENTS}.\\",
    f"CONSUMER.CREATE.{EVENTS}.{'x' * 400}",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_of_any_kind_is_answered_and_does_nothing_else(
    bus: UsersAtWork, body: str, caplog: pytest.LogCaptureFixture
):
    before = connections(bus)

    async def scenario() -> dict[str, Message]:
        contents = await bus.contents()
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            answers = {asked: await raw.request(f"$JS.API.{asked}", BODIES[body]) for asked in ASKED}
            assert raw.errors == []
        assert await bus.contents() == contents
        return answers

    answers = bus.run(scenario())

    assert connections(bus) == before
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
    for asked, answer in answers.items():
        said = json.loads(answer.body) if answer.body else {}
        assert said.get("error", {}).get("code") != 500, asked
        assert answer.headers.keys() <= {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"}, (
            asked
        )


def test_a_flood_of_one_users_requests_leaves_others_theirs(bus: UsersAtWork):
    async def scenario() -> tuple[Any, set[int]]:
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            flood = [raw.ask(f"$JS.API.STREAM.INFO.{EVENTS}") for _ in range(3_000)]
            await raw.flush()
            other = await bus.ask(BILLING, f"STREAM.INFO.{EVENTS}")
            async with asyncio.timeout(SECONDS):
                answers = [(await answer).said for answer in flood]
        return other, {answer.get("error", {}).get("code") for answer in answers}

    other, codes = bus.run(scenario())

    assert other["config"]["name"] == EVENTS
    # On a busy machine, the nats-server answers too late what was passed on to it.
    assert 429 in codes <= {None, 429, 503}


def test_one_user_does_not_take_all_consumers_of_a_stream(tmp_path: Path):
    places = 40
    bus = UsersAtWork(tmp_path, own_users(), consumers=places)

    async def scenario() -> tuple[int, list[bool]]:
        await bus.open()
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            # At once: each is counted.
            made = [
                raw.ask(
                    f"$JS.API.CONSUMER.CREATE.{EVENTS}.c{number}",
                    {"stream_name": EVENTS, "config": {"name": f"c{number}", "inactive_threshold": 10**12}},
                )
                for number in range(places)
            ]
            async with asyncio.timeout(SECONDS):
                answers = [(await answer).said for answer in made]
        others = [await bus.create_consumer(user, EVENTS, "own") for user in (BILLING, APP, CLERK)]
        await bus.close()
        return sum("error" not in answer for answer in answers), ["error" in answer for answer in others]

    made, refused = bus.run(scenario())

    assert made == places * 3 // 4
    assert refused == [False] * 3
    bus.runner.close()


def test_names_that_are_not_utf_8_are_no_others_names(bus: UsersAtWork):
    async def scenario() -> list[Any]:
        await bus.create_consumer(BILLING, EVENTS, "mine")
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            answers = [
                await raw.request(b"$JS.API.CONSUMER.INFO.HYPERPAGE_EVENTS." + name)
                for name in (b"\xff", b"mine\xff", b"\xc0\xae", b"caf\xe9")
            ]
            return [json.loads(answer.body)["error"]["code"] for answer in answers]

    assert set(bus.run(scenario())) <= {400, 404}


def test_more_consumers_than_a_user_may_have_are_refused(bus: UsersAtWork, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.serving.stream_access.MAXIMUM_CONSUMERS", 3)

    async def scenario() -> Any:
        for name in ("a", "b", "c"):
            await bus.create_consumer(APP, EVENTS, name)
        refused = await bus.create_consumer(APP, EVENTS, "d")
        # One that it has may still be changed, and others have theirs.
        changed = await bus.create_consumer(APP, EVENTS, "a", description="changed")
        other = await bus.create_consumer(BILLING, EVENTS, "d")
        for name in ("a", "b", "c"):
            await bus.ask(APP, f"CONSUMER.DELETE.{EVENTS}.{name}")
        return refused["error"]["code"], changed["config"]["description"], other["name"]

    assert bus.run(scenario()) == (400, "changed", "d")


def test_the_result_of_a_command_with_the_longest_id_is_got_by_each_road(bus: UsersAtWork):
    known = BusNames().result("\U0001f600" * 128)

    async def scenario() -> list[bytes | None]:
        await bus.jetstream(RESPONDER).publish(bus.subjects.sent(BILLING, known), b"answer")
        billing = bus.jetstream(BILLING)
        consumer = await billing.pull_subscribe(known)
        return [
            (await billing.get_last_msg("HYPERPAGE_RESULTS", known)).data,
            (await billing.get_last_msg("HYPERPAGE_RESULTS", known, direct=True)).data,
            *(message.data for message in await consumer.fetch(1, timeout=SECONDS)),
        ]

    before = connections(bus)
    assert bus.run(scenario()) == [b"answer"] * 3
    assert connections(bus) == before
