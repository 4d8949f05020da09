"""Answers to queries say how new they are, and a query waits until what is read is as new as it asks for."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bus.serving.queries import awaited_places
from hyperpage_client.identifiers import new_id
from ops.service.composition import Service
from tests.support.clock import NOW
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.raw_nats import Message, RawNats
from tests.support.services.serving import copy_of, restore_by_hand
from tests.support.services.talking import Talk

KEY = {"key": "k"}
# One query that is looked up at once, and others that another thread reads.
QUERIES: dict[str, Any] = {
    "app_state.get": KEY,
    "app_state.list": {},
    "app_state.count": {},
    "app_state.history": KEY,
    "app_state.as_of": KEY | {"time": NOW * 10},
    "rate_limits.may_call": {"platform": "github"},
    "events.read": {},
    "events.find": {},
    "jobs.stats": {},
}


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A service that the tests of this file share."""
    with Talk(tmp_path_factory.mktemp("places")) as talk:
        yield talk


@pytest.fixture
def head(talk: Talk) -> int:
    """The last position of the log, at which the row was stored just now."""
    return stored(talk)


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)


@pytest.fixture
def all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)


def at_least(place: str | int) -> dict[str, str]:
    return {"Hyperpage-Min-Position": str(place)}


def place_of(answer: Message) -> str:
    return f"{answer.headers['Hyperpage-Timeline']}-{answer.headers['Hyperpage-Position']}"


async def waiting(service: Service, count: int) -> None:
    """Returns when so many queries wait for the log."""
    await until(lambda: service.requests.queries._awaited.waiting == count)


async def store(client: RawNats) -> int:
    """Stores something new under the key; the position."""
    answer = await client.command("app_state.set", KEY | {"value": new_id()})
    assert answer.code is None, answer.body
    position: int = answer.said["position"]
    return position


def stored(talk: Talk) -> int:
    position: int = talk.run(store(talk.client))
    return position


def test_an_answer_says_up_to_where_the_log_is_in_it(talk: Talk):
    for name, body in QUERIES.items():
        position = stored(talk)
        answer = talk.query(name, body, at_least(position))
        assert (name, answer.code, place_of(answer)) == (name, None, f"1-{position}")


def test_that_there_is_nothing_is_said_of_a_place_too(talk: Talk, head: int):
    for name in ("app_state.get", "app_state.history"):
        answer = talk.query(name, {"key": "nobody"})
        assert (answer.code, place_of(answer)) == ("not_found", f"1-{head}")


def test_what_reads_nothing_says_no_place(talk: Talk):
    for answer in (
        talk.query("service.status"),
        talk.query("app_state.get", {"unknown": 1}),
        talk.query("no.such"),
        talk.command("app_state.set", KEY | {"value": 2}),
    ):
        assert "Hyperpage-Position" not in answer.headers


@pytest.mark.parametrize("name", ["app_state.get", "app_state.list"])
def test_an_answer_says_neither_more_nor_less_than_what_was_read(talk: Talk, head: int, name: str):
    async def write() -> None:
        for _ in range(200):
            await store(talk.client)

    async def scenario() -> int:
        seen = set()
        # Nothing else is written, so the row has the position of the last event.
        writing = asyncio.create_task(write())
        while not writing.done():
            questions = [talk.client.query(name, KEY if name == "app_state.get" else {}) for _ in range(8)]
            for answer in await asyncio.gather(*questions):
                said = answer.said if name == "app_state.get" else answer.said["items"][0]
                assert place_of(answer) == f"1-{said['position']}"
                seen.add(said["position"])
        await writing
        return len(seen)

    assert talk.run(scenario()) > 1


@pytest.mark.usefixtures("all_time")
@pytest.mark.parametrize("name", ["app_state.get", "app_state.list"])
@pytest.mark.parametrize("timeline", ["", "1-"])
def test_a_query_waits_for_what_it_asks_for(talk: Talk, head: int, name: str, timeline: str):
    async def scenario() -> Message:
        body = KEY if name == "app_state.get" else {}
        asked = talk.client.ask(f"hyperpage.qry.v1.{name}", body, at_least(f"{timeline}{head + 1}"))
        await waiting(talk.service, 1)
        await store(talk.client)
        return await asked

    answer = talk.run(scenario())

    assert place_of(answer) == f"1-{head + 1}"
    assert f'"position":{head + 1}' in answer.body.decode()


@pytest.mark.usefixtures("no_time")
def test_what_does_not_come_in_time_is_behind(talk: Talk, head: int):
    for name, body in QUERIES.items():
        answer = talk.query(name, body, at_least(f"1-{head + 1}"))
        assert (name, answer.code, answer.headers["Nats-Service-Error-Code"]) == (name, "behind", "503")
        assert answer.error["details"] == {"position": head, "timeline": 1, "leads": True}


@pytest.mark.parametrize("name", ["app_state.get", "app_state.list", "service.status"])
def test_what_is_no_place_is_refused(talk: Talk, name: str):
    for least in ("-1", "one", "9223372036854775808", "0-1", "1-", "", "1.5"):
        answer = talk.query(name, QUERIES.get(name, {}), at_least(least))
        assert (least, answer.code) == (least, "invalid")
        assert answer.error["details"] == {"path": "Hyperpage-Min-Position"}


def test_a_query_whose_headers_cannot_be_read_is_refused(talk: Talk):
    # The unreadable headers may ask for a later place, so an answer could be too old.
    assert talk.query("app_state.get", KEY, b"NATS/1.0 200\r\n\xff\xfe: \r\n\r\n").code == "invalid"


@pytest.mark.usefixtures("all_time")
def test_those_that_wait_hold_up_nobody(talk: Talk, head: int, monkeypatch: pytest.MonkeyPatch):
    # More waiting queries than there are threads that read.
    monkeypatch.setattr(awaited_places, "MAXIMUM_WAITING", 60)

    async def scenario() -> None:
        ask, least = talk.client.ask, at_least(head + 1)
        asked = [ask("hyperpage.qry.v1.app_state.list", {}, least) for _ in range(60)]
        await waiting(talk.service, 60)
        for name, body in QUERIES.items():
            assert (await talk.client.query(name, body)).code is None
        # There is no room for more waiting queries.
        assert (await talk.client.query("app_state.get", KEY, least)).code == "busy"
        await store(talk.client)
        assert {place_of(await one) for one in asked} == {f"1-{head + 1}"}
        await waiting(talk.service, 0)

    talk.run(scenario())


@pytest.mark.usefixtures("all_time")
def test_a_service_that_stops_waits_for_nobody(tmp_path: Path):
    async def scenario(talk: Talk) -> None:
        asked = talk.client.ask("hyperpage.qry.v1.app_state.get", KEY, at_least(1))
        await waiting(talk.service, 1)
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            await talk.service.stop()
        # The service's nats-server stops too, perhaps before the client has read the answer.
        with suppress(ConnectionError):
            assert (await asked).code == "unavailable"

    with Talk(tmp_path) as talk:
        talk.run(scenario(talk))


@pytest.mark.usefixtures("no_time")
def test_what_a_restore_has_undone_is_not_waited_for(tmp_path: Path):
    with Talk(tmp_path) as talk:
        talk.stop()
        older = copy_of(talk.settings.store_path)
        talk.start()
        for _ in range(20):
            stored(talk)
        seen = place_of(talk.query("app_state.list"))
        talk.stop()
        assert restore_by_hand(talk.settings.store_path, older) == 1
        talk.start()

        answer = talk.query("app_state.list", {}, at_least(seen))

        assert (seen, answer.code, place_of(answer)) == ("1-20", None, "2-1")
        # A position without a timeline means the present timeline.
        for least in (20, "2-2"):
            assert talk.query("app_state.list", {}, at_least(least)).code == "behind"


@pytest.mark.usefixtures("head")
def test_what_is_for_the_leader_is_answered_by_one_that_leads_alone(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
):
    for_leader = {"Hyperpage-Read": "leader"}
    for name, body in (*QUERIES.items(), ("service.status", {})):
        answer = talk.query(name, body, for_leader)
        assert (answer.code, "Hyperpage-Age-Ms" in answer.headers) == (None, False), name
    # As if another service led by the time that this one has read.
    monkeypatch.setattr(talk.service.requests.queries, "_leads", lambda: False)
    for name, body in QUERIES.items():
        refused = talk.query(name, body, for_leader)
        assert (refused.code, "Hyperpage-Position" in refused.headers) == ("unavailable", False)
        assert talk.query(name, body).code is None
    assert talk.query("app_state.get", KEY, {"Hyperpage-Read": "follower"}).code == "invalid"
