"""Members of a cluster: whole services in one event loop, on nats-servers that are a cluster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from nats.errors import Error as NatsError

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.transport.connection import LeanClient
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.clusters.nats_servers import Cluster, answered
from tests.support.patience import COMES_WITHIN_SECONDS, until

# The timeout of one attempt; the next one gets the answer of the member that leads by then.
ANSWER_SECONDS = 1.0


class Members:
    """Services by name, and an application that talks to the leader.

    Each service knows all nats-servers, and tries the one beside it first: `a` the first one, and so on.
    """

    def __init__(self, cluster: Cluster, folder: Path, application: LeanClient) -> None:
        self._cluster = cluster
        self._folder = folder
        self._application = application
        self.services: dict[str, Service] = {}

    async def start(self, name: str, **settings: Any) -> Service:
        """Starts a member, which follows or leads when this returns."""
        first = (ord(name) - ord("a")) % len(self._cluster.servers)
        urls = {}
        for user in (APP, RELAY, RESPONDER, ADMIN):
            all_of_them = self._cluster.urls_for(user)
            urls[user] = ",".join(all_of_them[first:] + all_of_them[:first])
        service = Service(
            Settings(
                data=self._folder / name,
                nats=urls[APP],
                nats_relay=urls[RELAY],
                nats_responder=urls[RESPONDER],
                nats_admin=urls[ADMIN],
                member=name,
                **{"replication": "sync", "no_http": True, **settings},
            )
        )
        await service.start()
        self.services[name] = service
        return service

    async def stop(self, name: str) -> None:
        await self.services.pop(name).stop()

    @property
    def leaders(self) -> list[str]:
        """The names of the members that say that they lead."""
        return [name for name, one in self.services.items() if one.role.leading is not None]

    async def led_by(self, *names: str) -> str:
        """Waits until one of these members leads (any, if none are named); returns the leader's name."""
        await until(lambda: bool(set(self.leaders) & set(names or self.services)))
        return self.leaders[0]

    async def command(self, name: str, body: Any, command_id: str) -> Any:
        """The answer to a command; it is sent again, with the same id, until a leader answers."""
        found: list[Any] = []

        async def answered() -> bool:
            try:
                answer = await self._application.request(
                    f"hyperpage.cmd.v1.{name}",
                    msgspec.json.encode(body),
                    timeout=ANSWER_SECONDS,
                    headers={"Hyperpage-Command-Id": command_id},
                )
            except NatsError:
                return False
            said = msgspec.json.decode(answer.data)
            if said.get("error", {}).get("code") == "unavailable":
                return False
            found.append(said)
            return True

        await until(answered)
        return found[0]

    async def asked_once(self, name: str, body: Any, command_id: str) -> Any:
        """The answer to a command that is sent only once."""
        answer = await self._application.request(
            f"hyperpage.cmd.v1.{name}",
            msgspec.json.encode(body),
            timeout=COMES_WITHIN_SECONDS,
            headers={"Hyperpage-Command-Id": command_id},
        )
        return msgspec.json.decode(answer.data)

    async def set_value(self, key: str, value: Any, command_id: str) -> Any:
        return await self.command("app_state.set", {"key": key, "value": value}, command_id)

    async def replicas(self) -> dict[str, int]:
        """By stream: the number of nats-servers that have a copy of it."""
        async with self._cluster.connected(RELAY) as relay:
            api = JetStreamApi(relay)
            reports = [await answered(partial(api.report, name)) for name in await _streams(relay)]
        return {one.config["name"]: one.config["num_replicas"] for one in reports if one is not None}

    async def until_equal(self) -> None:
        """Returns when all files end at one position, with one hash."""
        await until(lambda: len({one.role.head for one in self.services.values()}) == 1)


@asynccontextmanager
async def members(
    cluster: Cluster, folder: Path, names: str = "abc", **settings: Any
) -> AsyncIterator[Members]:
    """Members that run, of a store of their own."""
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(cluster.connected(APP))
        found = Members(cluster, folder, application)
        try:
            await asyncio.gather(*(found.start(name, **settings) for name in names))
            yield found
        finally:
            # Leaders last: one might wait for a successor that ends at the same time.
            await asyncio.gather(*map(found.stop, set(found.services) - set(found.leaders)))
            await asyncio.gather(*map(found.stop, set(found.services)))
            async with cluster.connected(RELAY) as relay:
                api = JetStreamApi(relay)
                for stream in await _streams(relay):
                    await answered(partial(api.delete, stream))


async def _streams(relay: LeanClient) -> list[str]:
    answer = await answered(lambda: relay.request("$JS.API.STREAM.NAMES", b"", timeout=2))
    names: list[str] = msgspec.json.decode(answer.data).get("streams") or []
    return names
