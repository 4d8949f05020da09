"""The features of a broker that the service relies on and its users see: one suite for each kind of broker.

The embedded nats-server runs everywhere; a stock NATS container where there is a Docker API.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from bus.publishing.stream_state import AnotherStoreError
from hyperpage_client.contract.subjects import escape
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.settings import Settings
from ops.store.data_directory import read_admin, read_runtime
from tests.support.patience import until
from tests.support.stores.looking_inside import log_of

PREFIX = "contract"


class BrokerKind(msgspec.Struct, frozen=True):
    """A kind of broker: the address of one that runs already, or none for the embedded one."""

    url: str | None


@pytest.fixture(params=["embedded", pytest.param("container", marks=pytest.mark.container)])
def broker(request: pytest.FixtureRequest) -> BrokerKind:
    if request.param == "embedded":
        return BrokerKind(None)
    return BrokerKind(request.getfixturevalue("nats_container_url"))


@asynccontextmanager
async def _service(broker: BrokerKind, folder: Path, *, fresh: bool = True) -> AsyncIterator[Service]:
    if broker.url is not None and fresh:
        await _wipe(broker.url)
    async with Service(Settings(data=folder, nats=broker.url, nats_port=0, prefix=PREFIX)) as service:
        yield service


async def _wipe(url: str) -> None:
    """Deletes all streams: one container serves all tests, and each of them begins without any."""
    client = await nats.connect(url)
    jetstream = client.jetstream(timeout=30)
    for stream in await jetstream.streams_info():
        assert stream.config.name is not None
        await jetstream.delete_stream(stream.config.name)
    await client.close()


@asynccontextmanager
async def _application(folder: Path) -> AsyncIterator[Client]:
    runtime = read_runtime(folder)
    assert runtime is not None
    client = await nats.connect(runtime.nats_url)
    try:
        yield client
    finally:
        await client.close()


async def _ask(client: Client, kind: str, name: str, body: Any, **headers: str) -> Any:
    message = await client.request(
        f"{PREFIX}.{kind}.v1.{name}", json.dumps(body).encode(), timeout=30, headers=headers or None
    )
    return json.loads(message.data)


async def _events(client: Client, count: int) -> list[Any]:
    subscription = await client.jetstream(timeout=30).subscribe(
        f"{PREFIX}.evt.v1.>", stream="CONTRACT_EVENTS", ordered_consumer=True
    )
    return [json.loads((await subscription.next_msg(timeout=10)).data) for _ in range(count)]


def test_commands_are_answered_and_rows_can_be_asked_for(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            answer = await _ask(client, "cmd", "app_state.set", {"key": "theme", "value": "dark"})
            assert (answer["stream"], answer["version"]) == ("app_state/theme", 1)
            assert (await _ask(client, "qry", "app_state.get", {"key": "theme"}))["value"] == "dark"

    asyncio.run(play())


def test_the_stream_has_every_event_once_and_in_order(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            commands = [
                {"command": "app_state.set", "body": {"key": f"key-{number}", "value": number}}
                for number in range(300)
            ]
            await _ask(client, "cmd", "batch", {"commands": commands})
            events = await _events(client, 300)
        assert [(event["id"], event["hash"]) for event in events] == [
            (f"1-{row.position}", row.hash.hex()) for row in log_of(tmp_path / "hyperpage.db")
        ]

    asyncio.run(play())


def test_a_restart_goes_on_where_the_stream_stands(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            await _ask(client, "cmd", "app_state.set", {"key": "a", "value": 1})
        async with _service(broker, tmp_path, fresh=False), _application(tmp_path) as client:
            await _ask(client, "cmd", "app_state.set", {"key": "b", "value": 2})
            assert [event["id"] for event in await _events(client, 2)] == ["1-1", "1-2"]
            info = await client.jetstream(timeout=30).stream_info("CONTRACT_EVENTS")
            assert info.state.messages == 2

    asyncio.run(play())


def test_a_durable_command_is_answered_on_its_result_subject(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            subscription = await client.subscribe(f"{PREFIX}.res.v1.{escape('order/7')}")
            await client.jetstream(timeout=30).publish(
                f"{PREFIX}.dcmd.v1.app_state.set",
                b'{"key": "k", "value": 1}',
                headers={"Hyperpage-Command-Id": "order/7"},
            )
            answer = json.loads((await subscription.next_msg(timeout=10)).data)
            assert answer["command_id"] == "order/7"

    asyncio.run(play())


def test_what_cannot_be_processed_is_a_dead_letter(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            admin = read_admin(tmp_path)
            assert admin is not None
            operator = await nats.connect(admin.nats_url, inbox_prefix=admin.inbox_prefix)
            result = await client.subscribe(f"{PREFIX}.res.v1.>")
            await client.jetstream(timeout=30).publish(f"{PREFIX}.dcmd.v1.app_state.set", b"{")
            await result.next_msg(timeout=10)
            letters = await _ask(operator, "adm", "dlq.list", {})
            assert [letter["code"] for letter in letters["items"]] == ["invalid"]
            await operator.close()

    asyncio.run(play())


def test_the_mirrors_hold_what_a_query_answers(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            await _ask(client, "cmd", "tool_configs.set", {"tool_name": "git/hub", "config": {"a": 1}})
            bucket = await client.jetstream(timeout=30).key_value("contract_tool_configs")
            stored = await _ask(client, "qry", "tool_configs.get", {"tool_name": "git/hub"})

            async def mirrored() -> Any:
                try:
                    return json.loads((await bucket.get(escape("git/hub"))).value or b"")
                except NotFoundError:
                    return None

            async def has_it() -> bool:
                return bool(await mirrored() == stored)

            async def has_it_no_more() -> bool:
                return await mirrored() is None

            # A command is answered before the mirror has its change.
            await until(has_it)
            await _ask(client, "cmd", "tool_configs.delete", {"tool_name": "git/hub"})
            await until(has_it_no_more)

    asyncio.run(play())


def test_discovery_shows_the_service(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            found = json.loads((await client.request("$SRV.INFO.hyperpage-persistence", timeout=30)).data)
            subjects = {endpoint["subject"] for endpoint in found["endpoints"]}
            assert {f"{PREFIX}.cmd.v1.jobs.enqueue", f"{PREFIX}.qry.v1.jobs.get"} <= subjects

    asyncio.run(play())


@pytest.mark.container
def test_a_stream_of_another_store_is_refused_before_anything_is_served(
    nats_container_url: str, tmp_path: Path
) -> None:
    async def play() -> None:
        broker = BrokerKind(nats_container_url)
        async with _service(broker, tmp_path / "one"):
            pass
        with pytest.raises(AnotherStoreError, match="store"):
            async with _service(broker, tmp_path / "two", fresh=False):
                """Not reached."""

    asyncio.run(play())


@pytest.mark.container
def test_a_second_service_on_the_prefix_is_refused(nats_container_url: str, tmp_path: Path) -> None:
    async def play() -> None:
        broker = BrokerKind(nats_container_url)
        async with _service(broker, tmp_path / "one"):
            with pytest.raises(ServiceError, match="another service serves the prefix contract"):
                async with _service(broker, tmp_path / "two", fresh=False):
                    """Not reached."""

    asyncio.run(play())


def test_a_refusal_carries_the_headers_of_the_services_api(broker: BrokerKind, tmp_path: Path) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path), _application(tmp_path) as client:
            message = await client.request(
                f"{PREFIX}.cmd.v1.app_state.delete", b'{"key":"nobody"}', timeout=5
            )
            assert message.headers == {
                "Nats-Service-Error": "not_found: nobody holds nothing",
                "Nats-Service-Error-Code": "404",
            }

    asyncio.run(play())


def test_nobody_makes_the_service_publish_outside_of_inboxes(broker: BrokerKind, tmp_path: Path) -> None:
    forged = f"{PREFIX}.evt.v1.jobs.1.forged"

    async def play() -> None:
        async with _service(broker, tmp_path) as service, _application(tmp_path) as client:
            body = b'{"key":"forged","value":1}'
            await client.publish(f"{PREFIX}.cmd.v1.app_state.set", body, reply=forged)
            await client.publish(f"{PREFIX}.qry.v1.jobs.count", b"", reply=forged)
            headers = {"Hyperpage-Reply-To": forged}
            await client.jetstream(timeout=30).publish(
                f"{PREFIX}.dcmd.v1.app_state.set", body, headers=headers
            )
            result = await client.subscribe(f"{PREFIX}.res.v1.>")
            await client.jetstream(timeout=30).publish(
                f"{PREFIX}.dcmd.v1.app_state.set", b'{"key":"k","value":1}'
            )
            await result.next_msg(timeout=10)
            # Commands, durable commands and queries are read side by side.
            await until(lambda: service.parts.dropped_requests >= 3)
            assert service.parts.dropped_requests == 3
            assert (await _ask(client, "qry", "app_state.count", {}))["count"] == 1
            (event,) = await _events(client, 1)
            assert event["subject"] == "app_state/k"
            assert (await client.jetstream(timeout=30).stream_info("CONTRACT_EVENTS")).state.messages == 1

    asyncio.run(play())


@pytest.mark.parametrize(
    ("name", "body"),
    [("x" * 4_000, b""), ("x.y", b"{" * (1024 * 1024)), ("x.>", b"{"), ("app_state.set", b"\xff" * 300_000)],
    ids=["a long name", "a body of 1 MiB", "a wildcard", "no text"],
)
def test_no_durable_command_keeps_the_next_one_waiting(
    broker: BrokerKind, tmp_path: Path, name: str, body: bytes
) -> None:
    async def play() -> None:
        async with _service(broker, tmp_path) as service, _application(tmp_path) as client:
            results = await client.subscribe(f"{PREFIX}.res.v1.>")
            answers = await client.subscribe("_INBOX.answers")
            # `publish` would check the subject, but other clients may send without a check.
            client._skip_subject_validation = True
            await client.publish(f"{PREFIX}.dcmd.v1.{name}", body, reply="_INBOX.answers")
            assert json.loads((await answers.next_msg(timeout=10)).data)["stream"] == "CONTRACT_COMMANDS"
            assert "error" in json.loads((await results.next_msg(timeout=10)).data)
            await client.jetstream(timeout=30).publish(
                f"{PREFIX}.dcmd.v1.app_state.set", b'{"key":"k","value":1}'
            )
            assert json.loads((await results.next_msg(timeout=10)).data)["position"] == 1
            await _events(client, 1)
            assert service.leading.relay.state.healthy

    asyncio.run(play())


@pytest.mark.container
def test_durable_commands_that_wait_while_nobody_serves_are_carried_out_in_order(
    nats_container_url: str, tmp_path: Path
) -> None:
    async def play() -> None:
        broker = BrokerKind(nats_container_url)
        async with _service(broker, tmp_path):
            """The streams are there from now on."""
        client = await nats.connect(nats_container_url)
        jetstream = client.jetstream(timeout=30)
        for number in range(700):
            body = json.dumps({"key": "k", "value": number}).encode()
            await jetstream.publish(
                f"{PREFIX}.dcmd.v1.app_state.set", body, headers={"Hyperpage-Command-Id": f"id-{number}"}
            )
        async with _service(broker, tmp_path, fresh=False):
            events = await _events(client, 700)
        assert [event["data"]["value"] for event in events] == list(range(700))
        assert [event["commandid"] for event in events] == [f"id-{number}" for number in range(700)]
        await client.close()

    asyncio.run(play())


@pytest.mark.container
def test_two_services_with_prefixes_of_their_own_share_a_broker(
    nats_container_url: str, tmp_path: Path
) -> None:
    async def play() -> None:
        other = Settings(data=tmp_path / "two", nats=nats_container_url, prefix="other")
        async with (
            _service(BrokerKind(nats_container_url), tmp_path / "one"),
            Service(other),
            _application(tmp_path / "one") as client,
        ):
            await _ask(client, "cmd", "app_state.set", {"key": "k", "value": "one"})
            message = await client.request("other.cmd.v1.app_state.set", b'{"key":"k","value":2}', timeout=30)
            assert json.loads(message.data)["position"] == 1
            assert [event["data"]["value"] for event in await _events(client, 1)] == ["one"]

            async def has_one_event() -> bool:
                return (await client.jetstream(timeout=30).stream_info("OTHER_EVENTS")).state.last_seq == 1

            await until(has_one_event)

    asyncio.run(play())
