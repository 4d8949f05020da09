"""`jobs.await`: a client that waits for a job's end gets its answer at once, without polling."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bus.serving.queries import awaited_changes
from ops.http import server
from ops.service.composition import Service
from tests.support.http_clients import asynchronous_client
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.asking import HttpTalk, problem


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """A service that the tests of this file share."""
    with HttpTalk(tmp_path_factory.mktemp("awaited")) as talk:
        yield talk


async def waiting(service: Service, count: int) -> None:
    """Returns when so many queries wait."""
    await until(lambda: service.requests.queries._changes.waiting == count)


def enqueue(talk: HttpTalk, name: str) -> dict[str, str]:
    assert talk.command("jobs.enqueue", {"id": name, "type": "t", "queue": name}).code is None
    return {"id": name}


def test_those_who_wait_are_answered_when_the_job_ends_and_by_no_other_change(talk: HttpTalk):
    job = enqueue(talk, "a")

    async def scenario() -> tuple[Any, Any]:
        client, patient = talk.client, {"timeout_ms": 60_000}
        async with asynchronous_client(talk.url, timeout=90) as http:
            said = asyncio.create_task(client.query("jobs.await", job | patient))
            shown = asyncio.create_task(http.get("/api/v1/jobs/a/await", params=patient))
            await waiting(talk.service, 2)
            claimed = await client.command("jobs.claim", {"worker": "w", "queue": "a"})
            held = job | {"lease": claimed.said["result"]["jobs"][0]["lease"]}
            await client.command("jobs.progress", held | {"percent": 50})
            assert (said.done(), shown.done()) == (False, False)
            await client.command("jobs.complete", held | {"result": {"pages": 3}})
            return (await said).said, (await shown).json()

    said, shown = talk.run(scenario())

    assert said == shown == {"has_ended": True, "job": talk.query("jobs.get", job).said}
    assert (said["job"]["state"], said["job"]["result"]) == ("completed", {"pages": 3})
    assert talk.service.requests.queries._changes.waiting == 0


def test_when_the_time_is_over_the_job_is_told_as_it_is(talk: HttpTalk):
    job = enqueue(talk, "b")

    answers = [talk.query("jobs.await", job | {"timeout_ms": time}).said for time in (0, 20)]

    assert answers == [{"has_ended": False, "job": talk.query("jobs.get", job).said}] * 2

    async def scenario() -> Any:
        asking = asyncio.create_task(talk.client.query("jobs.await", job | {"timeout_ms": 3_000}))
        await waiting(talk.service, 1)
        await talk.client.command("jobs.hold", job)
        return (await asking).said

    # After the timeout, the answer has the job's present state, which is no end.
    assert talk.run(scenario())["job"]["state"] == "held"


def test_a_job_that_has_ended_or_is_not_there_is_not_waited_for(talk: HttpTalk):
    job = enqueue(talk, "c")
    talk.command("jobs.cancel", job)

    assert talk.query("jobs.await", job | {"timeout_ms": 60_000}).said["has_ended"]
    assert talk.query("jobs.await", {"id": "nowhere", "timeout_ms": 60_000}).code == "not_found"
    problem(talk.get("/api/v1/jobs/c/await", params={"timeout_ms": 60_001}), 400, "invalid")


def test_more_than_there_is_room_for_do_not_wait(talk: HttpTalk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_changes, "MAXIMUM_WAITING", 0)

    assert talk.query("jobs.await", {"id": "a", "timeout_ms": 60_000}).code == "busy"


def test_one_user_leaves_room_for_others(talk: HttpTalk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_changes, "SHARE", 1)
    monkeypatch.setattr(awaited_changes, "MAXIMUM_WAITING", 4)
    job = enqueue(talk, "d") | {"timeout_ms": 60_000}
    queries = talk.service.requests.queries

    async def somebody_else_waits() -> None:
        with queries._changes._waiting_for([], "somebody else"):
            pass

    async def scenario() -> tuple[str | None, str | None]:
        mine = [asyncio.create_task(talk.client.query("jobs.await", job)) for _ in range(2)]
        await waiting(talk.service, 2)
        refused = (await talk.client.query("jobs.await", job)).code
        await queries.thread.run(somebody_else_waits())
        await talk.client.command("jobs.cancel", {"id": "d"})
        return refused, (await asyncio.gather(*mine))[1].code

    assert talk.run(scenario()) == ("busy", None)


def test_a_client_that_goes_away_over_http_waits_no_longer(talk: HttpTalk):
    enqueue(talk, "e")

    async def scenario() -> None:
        async with asynchronous_client(talk.url, timeout=90) as http:
            asking = asyncio.create_task(http.get("/api/v1/jobs/e/await?timeout_ms=60000"))
            await waiting(talk.service, 1)
            asking.cancel()
            async with asyncio.timeout(10):
                await waiting(talk.service, 0)

    talk.run(scenario())


def test_a_service_that_ends_has_nobody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # It would cut off nobody while the test runs.
    monkeypatch.setattr(server, "STOP_SECONDS", 60)
    with HttpTalk(tmp_path) as talk:
        job = enqueue(talk, "a") | {"timeout_ms": 60_000}

        async def scenario() -> tuple[str | None, httpx.Response]:
            async with asynchronous_client(talk.url, timeout=90) as http:
                said = asyncio.create_task(talk.client.query("jobs.await", job))
                shown = asyncio.create_task(http.get("/api/v1/jobs/a/await?timeout_ms=60000"))
                await waiting(talk.service, 2)
                stopping = asyncio.create_task(talk.service.stop())
                async with asyncio.timeout(COMES_WITHIN_SECONDS):
                    answered = (await said).code, await shown
                await stopping
                return answered

        code, shown = talk.run(scenario())

    assert code == "unavailable"
    problem(shown, 503, "unavailable")
