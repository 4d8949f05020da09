"""Leaders are killed or frozen while the replicated log lacks commands that they have answered."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from bus.client import Client
from bus.log.chain import read_head
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.transport.connection import LeanClient
from migrations.connection import open_reader
from tests.support.clusters.one_server import addresses
from tests.support.patience import until
from tests.support.services.killable import Killable
from tests.support.services.serving import client_of, relay_user
from tests.support.stores.replicated import replicated_content

LOG = "HYPERPAGE_LOG"


@asynccontextmanager
async def members(folder: Path, server: NatsServer) -> AsyncIterator[tuple[Killable, Killable]]:
    """Two processes, of which the first one leads."""
    pair = (Killable(folder / "a"), Killable(folder / "b"))
    try:
        for one in pair:
            one.folder.mkdir()
            settings = {
                **addresses(server),
                "replication": "async",
                "replication_replicas": 1,
                "member": one.folder.name,
            }
            lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
            (one.folder / "hyperpage.toml").write_text("\n".join(lines))
            await one.start()
        yield pair
    finally:
        for one in pair:
            if not one.has_ended:
                one.send(signal.SIGCONT)
            one.stop()


async def bound(relay: LeanClient, *, has_room: bool) -> None:
    """Limits the log to the size that it has, or takes the limit away."""
    api = JetStreamApi(relay)
    report = await api.report(LOG)
    assert report is not None
    await api.update({**report.config, "max_bytes": -1 if has_room else report.state.bytes})


async def set_value(client: Client, number: int) -> int:
    """Sets a value with the member that leads; returns the position of the event."""
    answer = await client.send("app_state.set", {"key": "k", "value": number}, timeout_seconds=60)
    assert answer.position is not None
    return answer.position


def position(member: Killable) -> int:
    with closing(open_reader(member.folder / "hyperpage.db")) as connection:
        return read_head(connection).position


def content(member: Killable) -> dict[str, list[object]]:
    with closing(open_reader(member.folder / "hyperpage.db")) as connection:
        return replicated_content(connection)


# Only with `prove`: two processes start or go on, each of which takes a lease's time and more.
@pytest.mark.prove
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "frozen"])
def test_what_a_lost_leader_answered_alone_is_kept_and_it_follows_again_by_itself(
    tmp_path: Path, is_killed: bool
):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            relay_user(server) as relay,
            members(tmp_path, server) as (first, second),
        ):
            shared = await set_value(client, 1)
            await until(lambda: position(second) == shared)
            await bound(relay, has_room=False)
            for number in range(5):
                await set_value(client, number)
            if is_killed:
                first.kill("service")
            else:
                first.send(signal.SIGSTOP)
            await bound(relay, has_room=True)
            # Not asked by commands: a frozen leader still gets some, until its nats-server takes it for gone.
            await until(lambda: position(second) > shared, 60)
            if is_killed:
                await first.start()
            else:
                first.send(signal.SIGCONT)
            # The new leader's event of the timeline comes first, then this one.
            assert await set_value(client, 7) == shared + 2
            kept = first.folder / f"lost-events-timeline-1-{shared + 1}-{shared + 5}.jsonl"
            await until(kept.exists, 60)
            lost = [json.loads(line) for line in kept.read_text().splitlines()]
            assert [one["data"]["value"] for one in lost] == [0, 1, 2, 3, 4]
            await until(lambda: content(first) == content(second), 60)
            reached = await set_value(client, 8)
            await until(lambda: position(first) == reached and content(first) == content(second), 60)

    asyncio.run(scenario())
