"""Members report themselves, and no two live members have the same name."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bus.broker.server import NatsServer
from bus.replication import members
from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.members import (
    FREE_AFTER_SECONDS,
    Member,
    Membership,
    NameTakenError,
    Role,
    live_members,
)
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.tasks import cancel
from tests.support.clusters.electing import Seconds, emptied
from tests.support.patience import until
from tests.support.services.serving import relay_user

FIRST = Member(
    name="a.b c",
    instance="1",
    role=Role.MEMBER,
    position=7,
    hash="00ff",
    version="1.2.3",
    address="http://a",
    time_ms=0,
)
AGAIN = msgspec.structs.replace(FIRST, instance="2")


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the members' entries from ending within a test, however slow the machine is."""
    monkeypatch.setattr(members, "LIVE_SECONDS", 60)


def play(broker: NatsServer, scenario: Callable[[ClusterBucket], Awaitable[None]]) -> None:
    async def played() -> None:
        async with relay_user(broker) as relay:
            await emptied(relay)
            await scenario(ClusterBucket(relay, BusNames()))

    asyncio.run(played())


def test_who_has_joined_is_seen_with_what_it_tells_until_it_leaves(broker: NatsServer) -> None:
    async def scenario(bucket: ClusterBucket) -> None:
        told = FIRST
        one = Membership(bucket, lambda: told)
        other = Membership(bucket, lambda: msgspec.structs.replace(FIRST, name="z", role=Role.FOLLOWER))
        await one.tell()
        assert await live_members(bucket) == []
        await one.join()
        await other.join()
        told = msgspec.structs.replace(FIRST, role=Role.LEADER, position=8)
        await one.tell()
        found = await live_members(bucket)
        assert [live.member.name for live in found] == ["a.b c", "z"]
        assert found[0].member == told
        assert 0 <= found[0].age_ms < 60_000
        # Their clocks show 1970.
        assert found[0].clock_ahead_ms < -1_000_000
        await one.leave()
        await one.tell()
        assert [live.member.name for live in await live_members(bucket)] == ["z"]

    play(broker, scenario)


def test_who_runs_tells_again_and_again_also_where_its_bucket_was_made_anew(broker: NatsServer) -> None:
    async def scenario(bucket: ClusterBucket) -> None:
        told = FIRST
        one = Membership(bucket, lambda: told)
        await one.join()
        running = asyncio.create_task(one.run())
        try:
            async with relay_user(broker) as relay:
                await emptied(relay)
            told = msgspec.structs.replace(FIRST, position=8)

            async def is_told() -> bool:
                return [live.member for live in await live_members(bucket)] == [told]

            await until(is_told)
        finally:
            await cancel(running)

    play(broker, scenario)


def test_a_second_process_of_a_name_is_refused_while_the_first_one_lives(broker: NatsServer) -> None:
    async def scenario(bucket: ClusterBucket) -> None:
        one = Membership(bucket, lambda: FIRST)
        await one.join()
        # The second process's clock stands still, so it waits for a sign of life as long as that takes.
        joining = asyncio.create_task(Membership(bucket, lambda: AGAIN, clock=Seconds()).join())
        while not joining.done():
            await one.tell()
            await asyncio.sleep(0.05)
        with pytest.raises(NameTakenError, match=r"another live process is the member a\.b c"):
            await joining
        await one.tell()
        assert [live.member for live in await live_members(bucket)] == [FIRST]

    play(broker, scenario)


def test_the_name_of_one_that_ended_without_a_word_is_free_and_what_comes_back_is_told(
    broker: NatsServer,
) -> None:
    async def scenario(bucket: ClusterBucket) -> None:
        # This process is frozen from here on.
        frozen = Membership(bucket, lambda: FIRST)
        await frozen.join()
        seconds = Seconds()
        second = Membership(bucket, lambda: AGAIN, clock=seconds)
        joining = asyncio.create_task(second.join())
        while not joining.done():
            await asyncio.sleep(0.01)
            seconds.now += FREE_AFTER_SECONDS
        await joining
        with pytest.raises(NameTakenError):
            await frozen.tell()
        await frozen.tell()
        await second.tell()
        assert [live.member for live in await live_members(bucket)] == [AGAIN]

    play(broker, scenario)
