"""Durable commands over the wire: kept until they are answered, through crashes; answers last for a day."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.support.machines import nats_process
from tests.support.patience import until, wait_for
from tests.support.services.durable import COMES_WITHIN_SECONDS, COMMANDS, LETTERS, RESULTS, Durable, escaped
from tests.support.services.raw_nats import HEADER_LINE, Message
from tests.support.services.serving import broker_of
from tests.support.services.talking import Talk

KIB = 1024


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    with Talk(tmp_path) as talk:
        durable = Durable(talk)
        yield durable
        if talk.is_running:
            talk.run(durable.relay.close())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Durable]:
    with Talk(tmp_path_factory.mktemp("durable")) as talk:
        durable = Durable(talk)
        yield durable
        talk.run(durable.relay.close())


def put(key: str, value: Any = 1) -> dict[str, Any]:
    return {"key": key, "value": value}


# Answers


def test_a_durable_command_is_answered_as_a_request_is_and_its_answer_is_kept(durable: Durable):
    async def scenario() -> tuple[Message, bytes]:
        answer = await durable.answer("app_state.set", put("k"), "id-1")
        return answer, await durable.kept_result("id-1")

    answer, kept = durable.run(scenario())

    assert answer.body == kept == durable.talk.command("app_state.set", put("k"), id="id-1").body
    assert answer.headers == {}
    assert answer.said["position"] == 1
    config = durable.run(durable.api(f"STREAM.INFO.{RESULTS}"))["config"]
    assert config["max_age"] == 24 * 3600 * 10**9


@pytest.mark.parametrize(
    "command_id", ["a.b", "orders/7", "*", ">", "x y", "ключ 😀", "=2E", "~", "x" * 128, "😀" * 128, "a\tb"]
)
def test_the_answer_is_under_the_escaped_id(shared: Durable, command_id: str):
    async def scenario() -> tuple[Message, bytes]:
        answer = await shared.answer("app_state.set", put("escaped", command_id), command_id)
        return answer, await shared.kept_result(command_id)

    answer, kept = shared.run(scenario())

    assert answer.said["command_id"] == command_id
    assert kept == answer.body
    assert answer.subject.count(".") == 3


def test_a_command_without_an_id_is_answered_under_one_of_its_own(shared: Durable):
    async def scenario() -> list[Message]:
        for value in range(3):
            await shared.store("app_state.set", put("unnamed", value))
        return [await shared.next_result() for _ in range(3)]

    answers = shared.run(scenario())

    ids = [answer.said["command_id"] for answer in answers]
    assert len(set(ids)) == 3
    assert [answer.subject for answer in answers] == [f"hyperpage.res.v1.{escaped(one)}" for one in ids]
    assert [answer.said["version"] for answer in answers] == [1, 2, 3]


def test_a_refusal_is_an_answer_with_its_headers(shared: Durable):
    async def scenario() -> tuple[Message, list[Any]]:
        before = await shared.letters()
        refusal = await shared.answer("app_state.delete", {"key": "nobody"}, "refused")
        assert await shared.letters() == before
        return refusal, before

    refusal, _ = shared.run(scenario())

    assert refusal.code == "not_found"
    assert refusal.headers["Nats-Service-Error-Code"] == "404"
    # The refusal is not remembered: the command goes through once its rule allows it.
    shared.talk.command("app_state.set", put("nobody"))
    again = shared.run(shared.answer("app_state.delete", {"key": "nobody"}, "refused"))
    assert again.code is None


def test_what_the_caller_says_is_carried_into_the_events(shared: Durable):
    headers = {"Hyperpage-Actor": "Zoë", "Hyperpage-Correlation-Id": "c", "traceparent": "t"}
    answer = shared.run(shared.answer("app_state.set", put("said"), "said", **headers))

    after = answer.said["position"] - 1
    (event,) = shared.talk.query("events.read", {"after": after, "limit": 1}).said["items"]
    assert (event["actor"], event["correlationid"], event["traceparent"]) == ("Zoë", "c", "t")


def test_an_expected_version_holds_for_a_durable_command_too(shared: Durable):
    async def scenario() -> list[str | None]:
        version = {"Hyperpage-Expected-Version": "0"}
        first = await shared.answer("app_state.set", put("versioned"), "v-1", **version)
        second = await shared.answer("app_state.set", put("versioned", 2), "v-2", **version)
        return [first.code, second.code]

    assert shared.run(scenario()) == [None, "version_conflict"]


def test_an_answer_goes_to_the_inbox_that_a_header_names_as_well(shared: Durable):
    async def scenario() -> tuple[Message, Message]:
        inbox = f"{shared.client.inbox}.by-header.{os.urandom(4).hex()}"
        answers = shared.client.subscribe(inbox)
        await shared.client.flush()
        result = await shared.answer(
            "app_state.set", put("replied"), "replied", **{"Hyperpage-Reply-To": inbox}
        )
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            return result, await answers.get()

    result, reply = shared.run(scenario())

    assert reply.body == result.body


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "hyperpage.evt.v1.jobs.x.enqueued",
        "hyperpage.dcmd.v1.app_state.set",
        "$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS",
        "$KV.hyperpage_app_state.x",
        "_INBOX",
        "_INBOXES.x",
        "_INBOX_relay.x",
        "_INBOX_admin.x",
        "_INBOX.",
        "_INBOX..x",
        "_INBOX.x.",
        "_INBOX.*",
        "_INBOX.>",
        "_INBOX.x y",
        "_INBOX.x hyperpage.evt.v1.jobs.x.y 3",
        "_INBOX.x\ty\tz\t1",
        "_INBOX.\x0bx",
        "_INBOX.\u00a0x",
        "_INBOX." + "x" * 5000,
        "_INBOX." + "x" * 60_000,
    ],
    ids=lambda reply: repr(reply[:40]),
)
def test_a_command_whose_answer_would_not_go_to_an_inbox_is_dropped_and_counted(shared: Durable, reply: str):
    async def scenario() -> None:
        headers = {"Hyperpage-Command-Id": "dropped", "Hyperpage-Reply-To": reply}
        await shared.store("app_state.set", put("dropped"), headers)
        assert (
            await shared.answer("app_state.set", put("after-it", reply[:99]), f"after {reply[:99]}.")
        ).code is None
        await shared.nothing_waits()

    talk = shared.talk
    before = talk.status["dropped_requests"]
    letters = shared.run(shared.letters())
    shared.run(scenario())

    assert talk.status["dropped_requests"] == before + 1
    assert talk.query("app_state.get", {"key": "dropped"}).code == "not_found"
    assert not shared.heard.get("dropped")
    assert shared.run(shared.letters()) == letters
    wait_for(lambda: talk.status["status"] == "healthy")


def test_many_durable_commands_are_answered_in_the_order_they_were_stored(durable: Durable):
    async def scenario() -> list[Message]:
        stored = [
            durable.client.ask("hyperpage.dcmd.v1.app_state.set", put("k", value)) for value in range(2_000)
        ]
        await asyncio.gather(*stored)
        answers = [await durable.next_result() for _ in range(2_000)]
        await durable.nothing_waits()
        return answers

    answers = durable.run(scenario())

    assert [answer.said["version"] for answer in answers] == list(range(1, 2_001))


# Again


def test_the_same_command_stored_twice_is_carried_out_once(durable: Durable):
    async def scenario() -> list[bytes]:
        body = {"type": "sync", "name": "once"}
        return [(await durable.answer("jobs.enqueue", body, "twice")).body for _ in range(3)]

    answers = durable.run(scenario())

    assert len(set(answers)) == 1
    assert durable.talk.position == 1


def test_a_delivery_that_comes_again_changes_nothing_and_is_answered_then(durable: Durable):
    async def scenario() -> None:
        (consumer,) = (await durable.api(f"CONSUMER.LIST.{COMMANDS}"))["consumers"]
        config = consumer["config"] | {"ack_wait": 500_000_000}
        await durable.api(f"CONSUMER.CREATE.{COMMANDS}.{config['durable_name']}", {
            "stream_name": COMMANDS, "config": config, "action": "update",
        })  # fmt: skip
        # With this limit no answer can be stored, so no command is acknowledged.
        results = (await durable.api(f"STREAM.INFO.{RESULTS}"))["config"]
        await durable.api(f"STREAM.UPDATE.{RESULTS}", results | {"max_msg_size": 1})
        for number in range(5):
            await durable.store("jobs.enqueue", {"type": "sync", "name": f"job {number}"})
        await durable.store("app_state.set", put("k"), {"Hyperpage-Command-Id": "named"})
        await durable.store("no.such")

        async def delivered_again() -> bool:
            (found,) = (await durable.api(f"CONSUMER.LIST.{COMMANDS}"))["consumers"]
            redelivered: int = found["num_redelivered"]
            return redelivered == 7

        await until(delivered_again)
        assert (await durable.state(COMMANDS))["messages"] == 7
        await durable.api(f"STREAM.UPDATE.{RESULTS}", results)
        await durable.nothing_waits()
        assert json.loads(await durable.kept_result("named"))["position"] == 6

    durable.run(scenario())

    assert durable.talk.position == 6
    assert durable.talk.query("jobs.count").said == {"count": 5}
    assert durable.run(durable.state(RESULTS))["messages"] == 7
    assert len(durable.run(durable.letters())) == 1


# Dead letters


UNPROCESSABLE: dict[str, tuple[str | bytes, bytes, Any, str]] = {
    "not JSON": ("app_state.set", b"{bad", None, "invalid"),
    "not its schema": ("app_state.set", b'{"key":1,"value":1}', None, "invalid"),
    "too large": ("app_state.set", b"x" * (66 * KIB), None, "too_large"),
    "an unknown verb": ("jobs.explode", b"{}", None, "not_found"),
    "an unknown table": ("cats.set", b"{}", None, "not_found"),
    "an internal verb": ("jobs.rescue", b'{"id":"j"}', None, "not_found"),
    "a batch": ("batch", b'{"commands":[]}', None, "invalid"),
    "one token": ("x", b"", None, "not_found"),
    "many tokens": ("a." * 500 + "a", b"", None, "not_found"),
    "a long name": ("x" * 4_000, b"", None, "not_found"),
    "a wildcard": ("a.*", b"", None, "not_found"),
    "a wildcard of many": ("a.>", b"", None, "not_found"),
    "a name in other letters": ("ü.ö", b"", None, "not_found"),
    "a name that is no text": (b"\xff\xfe.\x01", b"", None, "not_found"),
    "an id that is too long": ("app_state.set", b"{}", {"Hyperpage-Command-Id": "x" * 129}, "invalid"),
    "an empty id": ("app_state.set", b'{"key":"k","value":1}', {"Hyperpage-Command-Id": ""}, "invalid"),
    "no version": ("app_state.set", b'{"key":"k","value":1}', {"Hyperpage-Expected-Version": "x"}, "invalid"),
    "a header of one byte": ("app_state.set", b"{}", b"N", "invalid"),
    "headers without an end": ("x.y", b"", b"NATS/1.0", "not_found"),
    "a status that is no text": ("x.y", b"", b"NATS/1.0 \xff\xff\xff\r\n\r\n", "not_found"),
    "a header that no library sends": ("x.y", b"", HEADER_LINE + b"a(b)/c: 1\r\n\r\n", "not_found"),
    "a header that is no text": ("x.y", b"", HEADER_LINE + b"a: \xff\r\n\xff: b\r\n\r\n", "not_found"),
    "headers of 60 KiB": ("x.y", b"{}", HEADER_LINE + b"a: " + b"x" * 60 * KIB + b"\r\n\r\n", "not_found"),
    "what the broker says": ("x.y", b"", {"Status": "404", "Description": "No Messages"}, "not_found"),
    "nobody there": ("x.y", b"", {"Status": "503"}, "not_found"),
    "1,000 headers": ("x.y", b"", {f"H{n}": "x" * 50 for n in range(1_000)}, "not_found"),
    "a body of 1 MiB": ("x.y", b"{" * (1024 * KIB), None, "not_found"),
    "a body of nearly 1 MiB": ("app_state.set", b"\1" * (1024 * KIB - 100), None, "too_large"),
    "headers and body of nearly 1 MiB": (
        "x.y",
        b"{" * (964 * KIB - 100),
        HEADER_LINE + b"Hyperpage-Actor: " + b"x" * 59 * KIB + b"\r\nH: x\r\n\r\n",
        "not_found",
    ),
}


@pytest.mark.parametrize(("name", "body", "headers", "code"), UNPROCESSABLE.values(), ids=UNPROCESSABLE)
def test_what_cannot_be_processed_is_answered_and_becomes_a_dead_letter(
    shared: Durable, name: str | bytes, body: bytes, headers: Any, code: str
):
    async def scenario() -> tuple[Message, Any, Message]:
        known = {letter["sequence"] for letter in await shared.letters()}
        await shared.store(name, body, headers)
        refusal = await shared.next_result()
        (letter,) = [one for one in await shared.letters() if one["sequence"] not in known]
        shown = await shared.talk.admin.request("hyperpage.adm.v1.dlq.show", {"sequence": letter["sequence"]})
        # Neither the dead letter nor its answer holds up later commands.
        await shared.nothing_waits()
        assert (await shared.answer("app_state.set", put("after"), os.urandom(8).hex())).code is None
        await shared.talk.admin.request("hyperpage.adm.v1.dlq.drop", {"sequence": letter["sequence"]})
        return refusal, letter, shown

    refusal, letter, shown = shared.run(scenario())

    assert refusal.code == letter["code"] == code
    assert letter["reason"]
    # nats-server moves headers that it cannot parse to the front of the body.
    assert body[:50].decode() in shown.said["body"]
    assert letter["command_id"] == shown.said["headers"]["Hyperpage-Command-Id"]
    assert refusal.subject == f"hyperpage.res.v1.{escaped(letter['command_id'])}"
    wait_for(lambda: shared.talk.status["status"] == "healthy")


def test_a_dead_letter_has_the_command_with_its_headers_and_the_reason(durable: Durable):
    async def scenario() -> tuple[Message, Any, Any]:
        headers = {
            "Hyperpage-Command-Id": "dead/1",
            "Hyperpage-Actor": "me",
            "My-Own": "1",
            "Nats-Msg-Id": "x",
        }
        await durable.store("app_state.set", b'{"key":', headers)
        refusal = await durable.result("dead/1")
        (letter,) = await durable.letters()
        shown = await durable.talk.admin.request(
            "hyperpage.adm.v1.dlq.show", {"sequence": letter["sequence"]}
        )
        return refusal, letter, shown.said

    refusal, letter, shown = durable.run(scenario())

    assert letter["command"] == "app_state.set"
    assert letter["command_id"] == "dead/1"
    assert (letter["code"], letter["reason"]) == ("invalid", refusal.error["message"])
    assert letter["size_bytes"] == 7
    assert shown == letter | {"headers": shown["headers"], "body": '{"key":'}
    assert shown["headers"].items() >= {"Hyperpage-Actor": "me", "My-Own": "1"}.items()


def test_a_replayed_dead_letter_is_carried_out_where_it_can_be_now(durable: Durable):
    talk = durable.talk
    talk.run(durable.store("app_state.set", b"nonsense", {"Hyperpage-Command-Id": "still-bad"}))
    talk.run(durable.result("still-bad"))
    # A dead letter of an older version, which did not know the verb.
    headers = {
        "Hyperpage-Command-Id": "good-now",
        "Hyperpage-Reason-Code": "not_found",
        "Hyperpage-Actor": "Zoë",
    }
    letter = talk.run(durable.relay.request("hyperpage.dlq.v1.app_state.set", put("k"), headers)).said["seq"]

    replayed = talk.administer("dlq.replay", {"sequence": letter}).said
    answer = talk.run(durable.result("good-now"))

    assert replayed == {"replayed": 1}
    assert (answer.code, answer.said["position"]) == (None, 1)
    assert talk.query("events.read").said["items"][0]["actor"] == "Zoë"
    assert [one["command_id"] for one in talk.run(durable.letters())] == ["still-bad"]

    assert talk.administer("dlq.replay", {"all": True}).said == {"replayed": 1}
    assert talk.run(durable.result("still-bad")).code == "invalid"
    assert [one["command_id"] for one in talk.run(durable.letters())] == ["still-bad"]
    assert talk.position == 1


def test_dead_letters_are_listed_in_pages_shown_and_dropped(durable: Durable):
    async def scenario() -> None:
        for number in range(25):
            await durable.store("no.such", b"%d" % number, {"Hyperpage-Command-Id": f"d{number}"})
        for number in range(25):
            await durable.result(f"d{number}")

    talk = durable.talk
    talk.run(scenario())

    found: list[list[str]] = []
    after: int | None = 0
    while after is not None:
        page = talk.administer("dlq.list", {"after": after, "limit": 10}).said
        found.append([letter["command_id"] for letter in page["items"]])
        after = page["next"]
    assert [len(page) for page in found] == [10, 10, 5]
    assert [one for page in found for one in page] == [f"d{number}" for number in range(25)]

    first = talk.run(durable.letters())[0]["sequence"]
    assert talk.administer("dlq.drop", {"sequence": first}).said == {"dropped": 1}
    for verb in ("show", "drop", "replay"):
        assert talk.administer(f"dlq.{verb}", {"sequence": first}).code == "not_found"
        assert talk.administer(f"dlq.{verb}", {"sequence": 10**6}).code == "not_found"
    assert talk.administer("dlq.drop", {"all": True}).said == {"dropped": 24}
    assert talk.run(durable.letters()) == []


def test_many_large_dead_letters_are_listed_in_pages_that_fit_into_a_message(durable: Durable):
    async def scenario() -> int:
        for number in range(40):
            headers = {"Hyperpage-Command-Id": f"{number:03}" + "\1" * 120}
            await durable.store(f"{'x' * 100}.{'y' * 100}.{'z' * 100}.{number:03}", b"", headers)
        for _ in range(40):
            await durable.next_result()
        return len(await durable.letters())

    assert durable.run(scenario()) == 40


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("dlq.list", {"limit": 0}, "invalid"),
        ("dlq.list", {"limit": 1001}, "invalid"),
        ("dlq.list", {"after": -1}, "invalid"),
        ("dlq.list", {"why": 1}, "invalid"),
        ("dlq.list", b"{", "invalid"),
        ("dlq.show", {}, "invalid"),
        ("dlq.show", {"sequence": 0}, "invalid"),
        ("dlq.show", {"sequence": 2**64}, "invalid"),
        ("dlq.replay", {}, "invalid"),
        ("dlq.replay", {"sequence": 1, "all": True}, "invalid"),
        ("dlq.drop", {"all": False}, "invalid"),
        ("dlq.explode", {}, "not_found"),
        ("nothing", {}, "not_found"),
    ],
)
def test_a_malformed_administrative_request_is_refused(shared: Durable, name: str, body: Any, code: str):
    assert shared.talk.administer(name, body).code == code


def test_the_application_may_not_administer(shared: Durable):
    async def scenario() -> None:
        shared.client.publish("hyperpage.adm.v1.dlq.drop", {"all": True}, reply=f"{shared.client.inbox}.x")
        await shared.client.flush()

    shared.client.errors.clear()
    shared.run(scenario())

    assert "Permissions Violation" in shared.client.errors.pop()


# After nats-server or the service was killed


def test_work_goes_on_after_nats_server_was_killed(durable: Durable):
    talk = durable.talk

    async def scenario() -> None:
        for number in range(300):
            await durable.store(
                "app_state.set", put(f"before-{number}"), {"Hyperpage-Command-Id": f"b{number}"}
            )
        await nats_process.kill(broker_of(talk.service))
        await durable.reconnect()
        for number in range(300):
            await durable.store(
                "app_state.set", put(f"after-{number}"), {"Hyperpage-Command-Id": f"a{number}"}
            )
        for number in range(300):
            assert (await durable.result(f"a{number}")).code is None

        async def are_all_there() -> bool:
            return bool((await durable.client.query("app_state.count")).said == {"count": 600})

        await until(are_all_there)

    durable.run(scenario())

    commands = [row.command_id for row in talk.rows]
    assert sorted(commands, key=str) == sorted(
        [f"{when}{number}" for when in "ab" for number in range(300)], key=str
    )


def test_a_broker_that_lost_its_files_takes_durable_commands_again(durable: Durable):
    talk = durable.talk

    async def scenario() -> None:
        await durable.answer("app_state.set", put("before"), "before")
        await nats_process.kill(
            broker_of(talk.service), on_its_files=partial(shutil.rmtree, talk.data / "nats" / "jetstream")
        )
        await durable.reconnect()
        await until(are_there)
        await durable.answer("app_state.set", put("after"), "after")
        await durable.answer("app_state.set", put("before"), "before")
        await durable.answer("no.such", b"", "dead")
        assert [letter["command_id"] for letter in await durable.letters()] == ["dead"]

    async def are_there() -> bool:
        states = [await durable.state(stream) for stream in (RESULTS, COMMANDS, LETTERS)]
        return None not in states

    durable.run(scenario())

    assert [row.command_id for row in talk.rows] == ["before", "after"]


def test_commands_without_ids_are_new_ones_where_a_broker_lost_its_tail_and_numbers_them_alike(
    durable: Durable,
):
    talk = durable.talk
    streams = talk.data / "nats" / "jetstream"
    earlier, lost = streams.with_name("earlier"), streams.with_name("lost")

    def lose_the_tail() -> None:
        streams.rename(lost)
        earlier.rename(streams)

    async def scenario() -> list[Message]:
        shutil.copytree(streams, earlier)
        for number in range(3):
            await durable.store("app_state.set", put(f"before-{number}"))
        before = [await durable.next_result() for _ in range(3)]
        await nats_process.kill(broker_of(talk.service), on_its_files=lose_the_tail)
        await durable.reconnect()
        for number in range(3):
            await durable.store("app_state.set", put(f"after-{number}"))
        return before + [await durable.next_result() for _ in range(3)]

    answers = durable.run(scenario())

    assert [answer.code for answer in answers] == [None] * 6
    assert len({answer.said["command_id"] for answer in answers}) == 6
    assert [row.stream for row in talk.rows] == [
        f"app_state/{when}-{number}" for when in ("before", "after") for number in range(3)
    ]


@pytest.mark.parametrize("stream", [RESULTS, COMMANDS, LETTERS])
def test_a_stream_that_is_deleted_while_the_broker_runs_is_there_again_soon(durable: Durable, stream: str):
    async def is_stored() -> bool:
        answer = await durable.client.request(
            "hyperpage.dcmd.v1.app_state.set", put("met"), {"Hyperpage-Command-Id": "met"}
        )
        return bool(answer.body) and "error" not in answer.said

    async def scenario() -> None:
        await durable.answer("app_state.set", put("before"), "before")
        await durable.nothing_waits()
        await durable.api(f"STREAM.DELETE.{stream}")
        # The commands come at once, so that they meet the missing stream.
        while not await durable.through_a_restart(is_stored):
            pass
        dead = partial(durable.store, "no.such", b"", {"Hyperpage-Command-Id": "dead"})
        await durable.through_a_restart(dead)
        met = await durable.through_a_restart(partial(durable.kept_result, "met"))
        assert json.loads(met)["position"] == 2
        assert b"there is no" in await durable.through_a_restart(partial(durable.kept_result, "dead"))
        await durable.nothing_waits()
        assert [letter["command_id"] for letter in await durable.letters()] == ["dead"]

    durable.run(scenario())

    assert [row.command_id for row in durable.talk.rows] == ["before", "met"]
    wait_for(lambda: durable.talk.status["status"] == "healthy")


def test_a_consumer_that_is_deleted_is_replaced(durable: Durable):
    async def scenario() -> None:
        (consumer,) = (await durable.api(f"CONSUMER.LIST.{COMMANDS}"))["consumers"]
        await durable.api(f"CONSUMER.DELETE.{COMMANDS}.{consumer['name']}")
        assert (await durable.answer("app_state.set", put("k"), "id")).code is None
        await durable.nothing_waits()

    durable.run(scenario())


def test_commands_that_wait_when_the_service_stops_are_carried_out_in_order_after_its_start(durable: Durable):
    talk = durable.talk

    async def scenario() -> None:
        subject = "hyperpage.dcmd.v1.app_state.set"
        await asyncio.gather(*(durable.client.ask(subject, put("k", number)) for number in range(3_000)))

    talk.run(scenario())
    talk.run(durable.relay.close())
    # Some commands are answered by now, some are on their way, some are not fetched yet.
    talk.restart()
    talk.run(durable.connect())
    talk.run(durable.nothing_waits())

    assert [json.loads(str(row.data))["value"] for row in talk.rows] == list(range(3_000))
    # No command is a suspect: the service was stopped, and did not crash.
    assert not (talk.settings.data / "durable" / "counts.json").exists()


def test_the_service_asks_for_no_more_than_it_has_room_for_while_its_writer_is_busy(durable: Durable):
    talk, go_on = durable.talk, threading.Event()
    talk.service.leading.writer.call(lambda connection: go_on.wait(), lambda _: None)
    count = 3_500

    async def scenario() -> None:
        subject = "hyperpage.dcmd.v1.app_state.set"
        await asyncio.gather(*(durable.client.ask(subject, put("k", number)) for number in range(count)))

        async def consumer() -> Any:
            (found,) = (await durable.api(f"CONSUMER.LIST.{COMMANDS}"))["consumers"]
            return found

        async def is_not_asked() -> bool:
            found = await consumer()
            return bool(found["num_waiting"] == 0 and found["num_pending"])

        try:
            await until(is_not_asked)
            # The writer's portion, the messages that have arrived since, and those requested by then.
            assert (await consumer())["num_ack_pending"] <= 512 + 1_000 + 2 * 500
        finally:
            go_on.set()
        await durable.nothing_waits()

    talk.run(scenario())

    assert [json.loads(str(row.data))["value"] for row in talk.rows] == list(range(count))


def test_commands_that_a_store_could_not_take_are_carried_out_after_a_restart(durable: Durable):
    talk = durable.talk
    talk.service.leading.writer.call(lambda connection: connection.set_busy_timeout(50), lambda _: None)
    # An answer shows that the writer is done with the errand before it.
    assert talk.command("app_state.delete", {"key": "nobody"}).code == "not_found"
    locked = apsw.Connection(str(talk.settings.store_path))
    locked.set_busy_timeout(10_000)
    locked.execute("BEGIN IMMEDIATE")

    async def scenario() -> None:
        for number in range(50):
            await durable.store("app_state.set", put(f"k{number}"), {"Hyperpage-Command-Id": f"id-{number}"})
        assert (await durable.client.command("app_state.set", put("k"))).code == "unavailable"
        assert durable.results_waiting == 0
        await durable.relay.close()

    talk.run(scenario())
    talk.stop()
    locked.close()
    talk.start()
    talk.run(durable.connect())
    talk.run(durable.nothing_waits())

    assert talk.query("app_state.count").said == {"count": 50}
    assert [row.command_id for row in talk.rows] == [f"id-{number}" for number in range(50)]
    assert talk.run(durable.letters()) == []


def test_commands_keep_their_order_while_the_store_cannot_be_written_now_and_then(durable: Durable):
    talk = durable.talk
    talk.service.leading.writer.call(lambda connection: connection.set_busy_timeout(5), lambda _: None)
    statistics = talk.service.leading.writer.statistics
    locking = apsw.Connection(str(talk.settings.store_path))
    locking.set_busy_timeout(10_000)
    values = iter(range(100_000))

    def has_failed_since(failed: int) -> bool:
        return statistics.failed_commits > failed

    async def store(count: int) -> None:
        subject = "hyperpage.dcmd.v1.app_state.set"
        await asyncio.gather(*(durable.client.ask(subject, put("k", next(values))) for _ in range(count)))

    async def scenario() -> None:
        for _ in range(5):
            await store(150)
            failed = statistics.failed_commits
            locking.set_busy_timeout(10_000)
            locking.execute("BEGIN IMMEDIATE")
            await store(150)
            await until(partial(has_failed_since, failed))
            sending = asyncio.create_task(store(300))
            locking.execute("ROLLBACK")
            await sending
        await durable.nothing_waits()

    talk.run(scenario())
    locking.close()

    assert [json.loads(str(row.data))["value"] for row in talk.rows] == list(range(next(values)))
    assert talk.run(durable.letters()) == []


def test_a_service_stops_also_when_an_answer_comes_with_the_cancellation_of_who_waits_for_it(
    durable: Durable,
):
    # Such an answer may be JetStream's: `wait_for` of Python 3.11 then drops the cancellation and goes on.
    async def scenario() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def part() -> None:
            await asyncio.wait_for(answer, 60)
            await asyncio.Event().wait()

        durable.talk.service._background.start(part(), "a part")
        # The task waits from now on.
        await asyncio.sleep(0)
        answer.set_result(None)
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            await durable.talk.service.stop()

    durable.run(scenario())
