"""Requests for the leader alone, sent to several services of which one leads; answers of a follower."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from nats.aio.msg import Msg

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, private_inbox
from bus.client import Client, connect
from bus.serving.leader_door import LeaderDoor
from hyperpage_client.transport.connection import LeanClient
from ops.service.composition import Service
from tests.support.clusters.one_server import has_followed, member_on
from tests.support.http_clients import asynchronous_client
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.asking import problem
from tests.support.services.serving import client_of

FOR_LEADER = {"Hyperpage-Read": "leader"}
WEB: dict[str, Any] = {"no_http": False, "http": "127.0.0.1:0", "http_open": True}


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects of the requests that were passed on to the leader."""
    found: list[str] = []
    pass_on = LeaderDoor.passed_on

    def noted(self: LeaderDoor, subject: str, *request: Any) -> Any:
        found.append(subject)
        return pass_on(self, subject, *request)

    monkeypatch.setattr(LeaderDoor, "passed_on", noted)
    return found


async def ask(client: Client, name: str, headers: Mapping[str, str] | None = None) -> Msg:
    """The answer to a query that is asked once, by whichever service."""
    said = f"hyperpage.qry.v1.app_state.{name}", b'{"key":"k"}'
    answer: Msg = await client.connection.nats.request(
        *said, headers=dict(headers or {}) or None, timeout=COMES_WITHIN_SECONDS
    )
    return answer


def requests_of(service: Service, query: str) -> int:
    """How many requests of that query the service has answered."""
    return service.requests.queries._endpoints[f"app_state.{query}"].requests


def url_of(service: Service) -> str:
    assert service.http is not None
    return service.http.url


async def read_over_http(service: Service) -> httpx.Response:
    async with asynchronous_client(url_of(service)) as client:
        return await client.get("/api/v1/app_state/k", headers=FOR_LEADER)


def test_what_is_for_the_leader_is_answered_by_it_whoever_is_asked(tmp_path: Path, passed_on: list[str]):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            member_on(tmp_path / "a", server, **WEB) as leader,
            member_on(tmp_path / "f", server, role="follower", **WEB) as follower,
            connect(server.url_for(APP), reads_own_writes=False, reads_from_leader=True) as client,
        ):
            # Each is asked of either of the two.
            for name in ("get", "history"):
                asked = 0

                async def was_passed_on(name: str = name) -> bool:
                    nonlocal asked
                    asked += 1
                    answer = await client.send("app_state.set", {"key": "k", "value": f"{name} {asked}"})
                    found = await client.query(f"app_state.{name}", {"key": "k"})
                    newest = found if name == "get" else found["items"][-1]
                    assert int(newest["position" if name == "get" else "sequence"]) == answer.position
                    return f"hyperpage.usr.app.qry.v1.app_state.{name}" in passed_on

                await until(was_passed_on)
                assert requests_of(leader, name) >= asked
                assert requests_of(follower, name) == 0

            found = await read_over_http(leader)
            assert (found.status_code, "hyperpage-age-ms" in found.headers) == (200, False)
            refused = problem(await read_over_http(follower), 503, "unavailable")
            assert url_of(leader) in refused["hint"]

    asyncio.run(scenario())


def test_one_that_follows_says_how_old_its_answers_are_and_what_is_for_the_leader_is_refused_without_one(
    tmp_path: Path,
):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            member_on(tmp_path / "a", server) as leader,
            member_on(tmp_path / "f", server, role="follower") as follower,
        ):
            await client.send("app_state.set", {"key": "k", "value": 1})
            await has_followed(follower, leader)
            await until(lambda: follower.role.current_at is not None)
            # One that is looked up at once, and one that a thread reads.
            for name in ("get", "history"):

                async def follower_answers(name: str = name) -> bool:
                    before = requests_of(follower, name)
                    answer = await ask(client, name)
                    has_answered = requests_of(follower, name) > before
                    age_ms = (answer.headers or {}).get("Hyperpage-Age-Ms", "")
                    assert age_ms.isdigit() if has_answered else age_ms == ""
                    return has_answered

                await until(follower_answers)

            await leader.stop()
            refused, answer = await ask(client, "get", FOR_LEADER), await ask(client, "get")
            assert refused.headers is not None
            assert refused.headers["Nats-Service-Error-Code"] == "503"
            assert msgspec.json.decode(refused.data)["error"]["code"] == "unavailable"
            assert msgspec.json.decode(answer.data)["value"] == 1

    asyncio.run(scenario())


Ask = Callable[[], Coroutine[Any, Any, str]]


@asynccontextmanager
async def holding(folder: Path) -> AsyncIterator[tuple[Service, Ask]]:
    """A leader that keeps commands for the next one, and what tells the code of a command's refusal."""
    async with (
        NatsServer(data=folder / "broker", port=0) as server,
        member_on(folder / "a", server) as leader,
        client_of(server) as client,
    ):

        async def refusal() -> str:
            subject, body = "hyperpage.cmd.v1.app_state.set", b'{"key":"k","value":1}'
            answer = await client.connection.nats.request(subject, body, timeout=COMES_WITHIN_SECONDS)
            return str(msgspec.json.decode(answer.data)["error"]["code"])

        await leader.leading.intake.hold()
        yield leader, refusal


def test_what_is_kept_for_a_successor_that_does_not_come_is_refused(tmp_path: Path):
    async def scenario() -> None:
        async with holding(tmp_path) as (leader, refusal):
            intake = leader.leading.intake
            sending = asyncio.create_task(refusal())
            await until(lambda: bool(intake._held))
            await intake.pass_on()

            assert await sending == "unavailable"

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", ["MAXIMUM_HELD", "MAXIMUM_HELD_BYTES"])
def test_what_a_successor_would_get_too_late_is_refused_and_not_decided_before_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
):
    monkeypatch.setattr(f"bus.serving.intake.{limit}", 1)

    async def scenario() -> None:
        async with holding(tmp_path) as (leader, refusal):
            intake = leader.leading.intake
            kept = asyncio.create_task(refusal())
            await until(lambda: bool(intake._held))
            assert await refusal() == "busy"
            await intake.pass_on()
            await kept
            assert leader.leading.writer.head.position == 0

    asyncio.run(scenario())


def test_only_services_pass_anything_on_and_only_to_who_leads(tmp_path: Path):
    async def may_publish(server: NatsServer, user: str, subject: str) -> bool:
        connection = LeanClient()
        await connection.connect(server.url_for(user), inbox_prefix=private_inbox(user).encode())
        try:
            await connection.publish(subject, b"{}")
            await connection.flush()
            return connection.last_violation is None
        finally:
            await connection.close()

    async def scenario() -> None:
        command = "hyperpage.usr.app.cmd.v1.app_state.set"
        async with NatsServer(data=tmp_path / "broker", port=0) as server:
            assert await may_publish(server, RESPONDER, f"hyperpage.led.v1.{command}")
            assert not await may_publish(server, RESPONDER, command)
            for user in (APP, ADMIN, RELAY):
                assert not await may_publish(server, user, f"hyperpage.led.v1.{command}")

    asyncio.run(scenario())
