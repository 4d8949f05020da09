"""A member's steps to the lead are broken off when its lease ends or it is to stop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bus.broker.server import NatsServer
from bus.replication.leader_watch import LeaseLife
from bus.replication.lease import LeaseLostError
from bus.replication.members import Member, Membership, Role
from hyperpage_client.tasks import cancel
from ops.service.roles.election import Election
from tests.support.clusters.electing import Candidate, Seconds, candidates, emptied
from tests.support.patience import until
from tests.support.services.serving import relay_user

# The lease is renewed each second; a test moves the clock by which it ends.
LIFE = LeaseLife(3)


class Told:
    """Roles that note the steps they are told to take; the step `slow` lasts until a test ends it."""

    position = 5

    def __init__(self, slow: str = "") -> None:
        self.said: list[str] = []
        self._slow = slow

    async def stand(self) -> None:
        await self._do("stand")

    async def lead(self, may_lead: Callable[[], bool]) -> int:
        await self._do("lead")
        return 1

    async def stuck(self) -> str:
        return await asyncio.Future()

    async def pause(self) -> None:
        self.said.append("pause")

    async def led_no_more(self) -> str:
        return await asyncio.Future()

    async def follow(self) -> None:
        self.said.append("follow")

    async def _do(self, what: str) -> None:
        self.said.append(what)
        if what == self._slow:
            try:
                await asyncio.Future()
            finally:
                self.said.append(f"no {what}")


def election(one: Candidate, roles: Told) -> Election:
    return Election(one.bucket, one.watch, one.lease, roles, name=one.name)


def play(broker: NatsServer, scenario: Callable[..., Awaitable[None]], *names: str) -> None:
    async def played() -> None:
        async with relay_user(broker) as relay:
            await emptied(relay)
            async with candidates(relay, *names, life=LIFE) as found:
                await scenario(*found)

    asyncio.run(played())


async def at(slow: str, one: Candidate) -> tuple[Told, Election, "asyncio.Task[None]"]:
    """A candidate's election under way, which is at the slow step."""
    roles = Told(slow)
    elected = election(one, roles)
    running = asyncio.create_task(elected.run())
    one.waits()
    await until(lambda: slow in roles.said)
    return roles, elected, running


@pytest.mark.parametrize("slow", ["stand", "lead"])
def test_who_has_lost_its_lease_goes_no_further_towards_leading(broker: NatsServer, slow: str):
    async def scenario(one: Candidate):
        roles, elected, running = await at(slow, one)
        # The lease could not be renewed during the slow step.
        one.seconds.now += LIFE.valid_seconds
        await until(lambda: roles.said[-2:] == [f"no {slow}", "follow"])
        assert "could not be renewed" in (elected.trouble.problem or "")
        await elected.stop()
        await running

    play(broker, scenario, "x")


@pytest.mark.parametrize("slow", ["stand", "lead"])
def test_who_is_to_stop_does_not_wait_until_it_leads(broker: NatsServer, slow: str):
    async def scenario(one: Candidate):
        roles, elected, running = await at(slow, one)
        await elected.stop()
        await running
        assert roles.said[-2:] == [f"no {slow}", "follow"]
        await until(one.is_vacant)

    play(broker, scenario, "x")


def test_who_does_not_take_what_was_left_to_it_is_passed_over(broker: NatsServer):
    async def scenario(one: Candidate):
        def with_more() -> Member:
            return Member(
                name="y",
                instance="y-1",
                role=Role.MEMBER,
                position=9,
                hash="",
                version="1",
                address="",
                time_ms=0,
            )

        membership = Membership(one.bucket, with_more)
        await membership.join()
        telling = asyncio.create_task(membership.run())
        roles = Told()
        elected = election(one, roles)
        running = asyncio.create_task(elected.run())
        one.waits()
        await until(lambda: roles.said == ["stand", "follow"])
        assert not elected.is_leading
        # Member y has had its head start, which counts from when x heard that the lease was left to y.
        await until(lambda: (found := one.watch._found) is not None and found.gave_up)
        one.waits()
        await until(lambda: elected.is_leading)
        assert roles.said == ["stand", "follow", "stand", "lead"]
        await elected.stop()
        await running
        await cancel(telling)

    play(broker, scenario, "x")


def test_the_lease_is_looked_at_when_a_term_is_taken(broker: NatsServer):
    class Asking(Told):
        def __init__(self, seconds: Seconds) -> None:
            super().__init__()
            self._seconds = seconds

        async def lead(self, may_lead: Callable[[], bool]) -> int:
            assert may_lead()
            self._seconds.now += LIFE.valid_seconds
            if not may_lead():
                self.said.append("may not")
            raise LeaseLostError("the lease was lost")

    async def scenario(one: Candidate):
        roles = Asking(one.seconds)
        elected = election(one, roles)
        running = asyncio.create_task(elected.run())
        one.waits()
        await until(lambda: "may not" in roles.said)
        await elected.stop()
        await running

    play(broker, scenario, "x")
