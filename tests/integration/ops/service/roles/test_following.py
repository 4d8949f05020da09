"""A service that follows: a store of its own, which has what the leader writes, and nothing else."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from nats.errors import Error as NatsError

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS
from bus.client import Client, connect
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.settings import Settings, SettingsError
from tests.support.clusters.nats_servers import Cluster
from tests.support.clusters.one_server import has_followed, member_on
from tests.support.patience import until
from tests.support.services.outside_nats import outside_nats
from tests.support.services.serving import client_of, set_keys
from tests.support.stores.replicated import replicated_content


async def work(client: Client) -> None:
    """Commands that touch every kind of what is replicated: events, rows, answers, leases."""
    await client.send("jobs.enqueue", {"type": "sync", "name": "a/b"})
    await client.send("jobs.claim", {"worker": "w", "types": ["sync"]})
    await set_keys(client, "k")


def require_equal(follower: Service, leader: Service) -> None:
    with follower.readers.connection() as one, leader.readers.connection() as other:
        assert replicated_content(one) == replicated_content(other)


async def value(service: Service, key: str) -> object:
    """The value under a key, as this very service reads it."""
    reading = await service.requests.queries.ask("app_state.get", msgspec.json.encode({"key": key}))
    return msgspec.json.decode(reading.body)["value"]


async def told_of_its_end(client: Client, service: Service, job: str) -> object:
    """The job's state in the service's answer to `jobs.await`, while the job is cancelled."""
    patient = msgspec.json.encode({"id": job, "timeout_ms": 60_000})
    asked = asyncio.create_task(service.requests.queries.ask("jobs.await", patient))
    await until(lambda: service.requests.queries._changes.waiting == 1)
    await client.send("jobs.cancel", {"id": job})
    return msgspec.json.decode((await asked).body)["job"]["state"]


def test_it_has_what_the_leader_writes_whichever_of_the_two_is_restarted(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:

            def leader() -> Service:
                return member_on(tmp_path / "a", server)

            def follower() -> Service:
                return member_on(tmp_path / "f", server, role="follower")

            async with leader() as leading:
                await work(client)
                async with follower() as following:
                    await has_followed(following, leading)
                    await work(client)
                    await has_followed(following, leading)
                    assert following.origin.store_id == leading.origin.store_id
                    report = following.health.report()
                    assert (report["status"], report["role"]) == ("healthy", "follower")
                    assert report["replication"]["lag_events"] == 0
                    await client.send("jobs.enqueue", {"id": "awaited", "type": "sync"})
                    await has_followed(following, leading)
                    assert await told_of_its_end(client, following, "awaited") == "cancelled"
                    require_equal(following, leading)
                await client.send("app_state.set", {"key": "later", "value": 1})
            async with follower() as following:
                # There is no leader, and the follower gets all that was answered.
                await until(lambda: following.role.head == leading.role.head)
                assert await value(following, "later") == 1
                async with leader() as leading:
                    await work(client)
                    await has_followed(following, leading)
                    require_equal(following, leading)

    asyncio.run(scenario())


def test_it_answers_queries_beside_the_leader_and_takes_no_command(tmp_path: Path):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            member_on(tmp_path / "a", server) as leading,
            member_on(tmp_path / "f", server, role="follower") as following,
        ):
            await set_keys(client, "k")
            await has_followed(following, leading)

            def asked(service: Service) -> int:
                return service.parts.query_endpoints["app_state.get"].requests

            async def both_have_answered() -> bool:
                await client.query("app_state.get", {"key": "k"})
                return asked(leading) > 0 and asked(following) > 0

            await until(both_have_answered)
            # All these commands reached the leader, or they would have had no answer.
            await set_keys(client, *map(str, range(20)))
            await has_followed(following, leading)
            assert not following.parts.command_endpoints["app_state.set"].requests

    asyncio.run(scenario())


def test_it_says_that_nothing_comes_while_the_broker_is_away_and_goes_on_by_itself(tmp_path: Path):
    async def scenario() -> None:
        jetstream = {"jetstream": {"store_dir": str(tmp_path / "jetstream")}}
        async with outside_nats(tmp_path / "broker", jetstream) as broker:
            url = f"nats://127.0.0.1:{broker.port}"
            async with (
                member_on(tmp_path / "a", url) as leading,
                member_on(tmp_path / "f", url, role="follower") as following,
            ):
                async with connect(url) as client:
                    await set_keys(client, "k")
                await has_followed(following, leading)
                follower = following.role.follower
                assert follower is not None
                await broker.stop()
                await until(lambda: follower.state.problem)
                assert await value(following, "k")
                await broker.start()
                await until(lambda: leading.parts.is_connected and following.parts.is_connected)
                async with connect(url) as client:
                    await set_keys(client, "l")
                await has_followed(following, leading)
                require_equal(following, leading)

    asyncio.run(scenario())


def test_it_follows_a_cluster_of_which_another_server_leads_the_stream_by_and_by(tmp_path: Path):
    async def scenario() -> None:
        async with Cluster(tmp_path / "cluster") as cluster:

            def member(name: str, to: int, **settings: str) -> Service:
                at = {user: cluster.urls_for(user)[to] for user in (APP, *USERS, ADMIN)}
                others = {f"nats_{user}": at[user] for user in (ADMIN, RELAY, RESPONDER)}
                return member_on(tmp_path / name, at[APP], replication_replicas=3, **others, **settings)

            async with (
                member("a", 0) as leading,
                member("f", 1, role="follower") as following,
                cluster.connected() as relay,
                connect(cluster.urls_for(APP)[0]) as client,
            ):
                await set_keys(client, "k")
                await has_followed(following, leading)
                log = following.names.log
                first = await cluster.leader_of(log, relay)

                async def another_leads() -> bool:
                    if await cluster.leader_of(log, relay) is not first:
                        return True
                    with suppress(NatsError):
                        await relay.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{log}", b"", timeout=2)
                    return False

                await until(another_leads)
                await set_keys(client, "l")
                await has_followed(following, leading)
                require_equal(following, leading)

    asyncio.run(scenario())


def test_what_cannot_be_followed_is_refused_at_the_start(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server:
            with pytest.raises(ServiceError, match="no log to follow yet"):
                async with member_on(tmp_path / "f", server, role="follower"):
                    pass
            async with member_on(tmp_path / "a", server) as leading:
                pass
            # The directory has a store of its own, from before.
            async with Service(Settings(data=tmp_path / "b", nats_port=0, no_http=True)) as other:
                pass
            with pytest.raises(ServiceError, match=f"belongs to the store {leading.origin.store_id}"):
                async with member_on(tmp_path / "b", server, role="follower"):
                    pass
            assert other.origin.store_id != leading.origin.store_id

    asyncio.run(scenario())
    with pytest.raises(SettingsError, match="`nats` is its address"):
        asyncio.run(Service(Settings(data=tmp_path / "c", role="follower", no_http=True)).start())
