"""The simulation's model of nats-server answers as the real one does, to all that the product asks of it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import pytest

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.pulls import delivery_in
from tests.lab.simulation.broker import Broker
from tests.lab.simulation.determined import determined
from tests.lab.simulation.jetstream import JetStream
from tests.lab.simulation.network import Network
from tests.lab.simulation.scheduler import Process, Scheduler
from tests.support.patience import COMES_WITHIN_SECONDS, until

Seen = list[Any]


async def _publish(client: LeanClient, subject: str, **headers: str) -> Any:
    """The parts of JetStream's answer to a published message that are the same each time."""
    named = {name.replace("_", "-"): value for name, value in headers.items()} or None
    try:
        answer = await client.request(subject, b"{}", timeout=COMES_WITHIN_SECONDS, headers=named)
    except nats.errors.NoRespondersError:
        return "nobody"
    said = msgspec.json.decode(answer.data)
    error = said.get("error", {})
    return said.get("seq"), said.get("duplicate", False), error.get("err_code"), error.get("description")


async def _delivered(client: LeanClient, stream: str, consumer: str, batch: int, seconds: float = 30) -> Seen:
    """The result of a pull: each message's sequence, deliveries and number; then the status at the end."""
    inbox = client.new_inbox()
    seen: Seen = []
    ended = asyncio.Event()

    def take(_subject: str, reply: str, headers: Any, _body: bytes) -> None:
        if reply:
            found = delivery_in(reply)
            seen.append((found.sequence, found.times, found.number))
        else:
            seen.append((headers or {}).get("Status"))
        if len(seen) == batch or not reply:
            ended.set()

    subscription = await client.subscribe_direct(f"{inbox}.*", handler=take)
    request = msgspec.json.encode({"batch": batch, "expires": int(seconds * 1e9)})
    await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", request, reply=f"{inbox}.1")
    async with asyncio.timeout(COMES_WITHIN_SECONDS):
        await ended.wait()
    await subscription.unsubscribe()
    return seen


async def _standing(api: JetStreamApi, stream: str) -> Any:
    report = await api.report(stream)
    if report is None:
        return None
    state = report.state
    return state.messages, state.first_seq, state.last_seq, state.num_deleted


async def _events(client: LeanClient, api: JetStreamApi) -> Seen:
    """A broker's answers to the relay's use of a stream."""
    seen: Seen = [await _standing(api, "HYPERPAGE_EVENTS"), await _publish(client, "hyperpage.evt.v1.a.b.c")]
    config = {
        "name": "HYPERPAGE_EVENTS",
        "subjects": ["hyperpage.evt.v1.>"],
        "storage": "file",
        "duplicate_window": 60_000_000_000,
        "metadata": {"a": "1"},
    }
    await api.create(config)
    subject = "hyperpage.evt.v1.jobs.a.enqueued"
    for headers in (
        {"Nats_Msg_Id": "1-1", "Nats_Expected_Last_Sequence": "0"},
        {"Nats_Msg_Id": "1-2", "Nats_Expected_Last_Sequence": "1", "Nats_Expected_Last_Msg_Id": "1-1"},
        {"Nats_Msg_Id": "1-2", "Nats_Expected_Last_Sequence": "2"},
        {"Nats_Msg_Id": "1-9", "Nats_Expected_Last_Sequence": "7"},
        {"Nats_Msg_Id": "1-8", "Nats_Expected_Last_Sequence": "2", "Nats_Expected_Last_Msg_Id": "1-1"},
        {"Nats_Msg_Id": "1-3", "Nats_Expected_Last_Sequence": "2", "Nats_Expected_Last_Msg_Id": "1-2"},
        {},
    ):
        seen.append(await _publish(client, subject, **headers))
        seen.append(await _standing(api, "HYPERPAGE_EVENTS"))
    for sequence in (1, 4, 5):
        message = await api.message_at("HYPERPAGE_EVENTS", sequence)
        seen.append(None if message is None else (message.sequence, message.subject, message.payload))
    last = await api.last_message("HYPERPAGE_EVENTS", "hyperpage.evt.v1.>")
    seen.append(last and last.sequence)
    report = await api.report("HYPERPAGE_EVENTS")
    assert report is not None
    updated = await api.update({**report.config, "metadata": {**report.metadata, "b": "2"}})
    seen.append({name: updated.metadata.get(name) for name in ("a", "b")})
    await api.delete("HYPERPAGE_EVENTS")
    seen.append(await _standing(api, "HYPERPAGE_EVENTS"))
    return seen


async def _commands(client: LeanClient, api: JetStreamApi) -> Seen:
    """A broker's answers to the use of streams by the intake of durable commands."""
    name, subject = "HYPERPAGE_COMMANDS", "hyperpage.dcmd.v1.app_state.set"
    work = {"name": name, "subjects": ["hyperpage.dcmd.v1.>"], "storage": "file", "retention": "workqueue"}
    await api.create({**work, "discard": "new", "max_msgs": 3})
    # Its subjects are those that the relay may publish on.
    results = {"name": "HYPERPAGE_RESULTS", "subjects": ["hyperpage.evt.v1.>"], "storage": "file"}
    await api.create({**results, "max_msgs_per_subject": 1})
    seen: Seen = [await _publish(client, subject) for _ in range(4)]
    consumer = {"durable_name": "service-1", "ack_policy": "explicit", "ack_wait": 30_000_000_000}
    made = msgspec.json.encode({"stream_name": name, "config": consumer})
    subject_of_it = f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.service-1"
    seen.append(msgspec.json.decode((await client.request(subject_of_it, made, timeout=5)).data)["name"])
    seen.append(await _delivered(client, name, "service-1", 2))
    seen.append(await _delivered(client, name, "service-1", 5, seconds=0.5))
    await client.publish(f"$JS.ACK.{name}.service-1.1.1.1.1.0", b"+ACK")
    await client.publish(f"$JS.ACK.{name}.service-1.1.2.2.1.0", b'-NAK {"delay": 1000000}')

    async def is_acknowledged() -> bool:
        return (await _standing(api, name))[0] == 2

    await until(is_acknowledged)
    seen.append(await _standing(api, name))
    seen.append(await _delivered(client, name, "service-1", 1))
    await client.request(f"$JS.API.CONSUMER.DELETE.{name}.service-1", b"", timeout=5)
    seen.append(await _delivered(client, name, "service-1", 1))
    for key in ("a", "b", "a"):
        seen.append(await _publish(client, f"hyperpage.evt.v1.results.{key}"))
        seen.append(await _standing(api, "HYPERPAGE_RESULTS"))
    return seen


async def _all(client: LeanClient) -> Seen:
    api = JetStreamApi(client)
    return [await _events(client, api), await _commands(client, api)]


def _really(folder: Path) -> Seen:
    async def play() -> Seen:
        async with NatsServer(data=folder, port=0) as server:
            return await _with(server.url_for(RELAY), _all)

    return asyncio.run(play())


def _simulated() -> Seen:
    scheduler = Scheduler(1)
    with determined(scheduler, 1):
        JetStream(Broker(scheduler, Network(scheduler)))
        return scheduler.run(_with("nats://model:4222", _all), Process("client"))


async def _with(url: str, use: Callable[[LeanClient], Coroutine[Any, Any, Seen]]) -> Seen:
    client = LeanClient()
    await client.connect(url, inbox_prefix=private_inbox(RELAY).encode())
    try:
        return await use(client)
    finally:
        await client.close()


def test_the_model_says_what_the_real_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.transport.jetstream.REQUEST_TIMEOUT_MS", COMES_WITHIN_SECONDS * 1_000)
    assert _simulated() == _really(tmp_path)
