"""A member that begins with nothing, and goes on by itself when its leader was restored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import apsw

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from bus.log import chain
from migrations.connection import open_reader
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.patience import until
from tests.support.services.command_line import Served
from tests.support.services.raw_nats import RawNats
from tests.support.stores.relaying import Broker, broker_in


def test_a_follower_has_what_its_leader_has_also_when_that_was_restored(tmp_path: Path):
    async def scenario() -> None:
        async with broker_in(tmp_path / "broker") as broker:
            common = common_settings(tmp_path, broker)
            leaders = Settings(data=tmp_path / "a", member="a", no_http=True, **common)
            async with serving(leaders) as leader:
                await change(broker, 1)
                variables = {f"HYPERPAGE_{name.upper()}": str(value) for name, value in common.items()}
                data = tmp_path / "b"
                served = await asyncio.to_thread(
                    Served, data, "--role", "follower", "--no-http", **variables, HYPERPAGE_MEMBER="b"
                )
                await until_has(data, leader)
            with served:
                await asyncio.to_thread(restore, leaders.places, Moment(position=1), version="0")
                async with serving(leaders) as leader:
                    await change(broker, 2)
                    assert leader.origin.timeline == 2
                    await until_has(data, leader)
                    assert await asyncio.to_thread(served.stop) == 0
            assert list(data.glob("hyperpage.db.set-aside-*"))

    asyncio.run(scenario())


def common_settings(folder: Path, broker: Broker) -> dict[str, Any]:
    """The settings of all members: the same nats-server, backups and archive."""
    urls = {f"nats_{user}": broker.server.url_for(user) for user in (RELAY, RESPONDER, ADMIN)}
    shared = {"backups": str(folder / "backups"), "archive": str(folder / "archive")}
    return {
        "nats": broker.server.url_for(APP),
        **urls,
        **shared,
        "replication": "sync",
        "replication_replicas": 1,
    }


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    """A service, once it leads."""
    service = Service(settings)
    async with service:
        await until(lambda: service.role.leading is not None)
        yield service


async def change(broker: Broker, value: int) -> None:
    """Has the leader change something."""
    async with await RawNats.connect(broker.server.url_for(APP)) as client:
        answer = await client.command("app_state.set", {"key": "k", "value": value})
        assert answer.code is None


async def until_has(data: Path, leader: Service) -> None:
    """Returns when a follower's file ends as the leader's."""

    def has() -> bool:
        # While it is made anew, it may not be there.
        with suppress(apsw.Error), closing(open_reader(data / "hyperpage.db")) as connection:
            return chain.read_head(connection) == leader.role.head
        return False

    await until(has)
