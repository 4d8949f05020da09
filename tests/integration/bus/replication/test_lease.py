"""At most one member holds the lease at a time, and another one gets it soon after it has ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.contract import codec
from bus.replication.leader_watch import HEAD_START_SECONDS, KEY, Leader, LeaseLife
from bus.replication.lease import LeaseLostError
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.connecting import connect
from tests.lab.machines.links import Link
from tests.support.clusters.electing import (
    BUCKET_STREAM,
    LONG,
    SHORT,
    Candidate,
    candidates,
    emptied,
)
from tests.support.patience import patiently, until
from tests.support.services.serving import relay_user


def play(
    broker: NatsServer,
    scenario: Callable[..., Awaitable[None]],
    *names: str,
    life: LeaseLife = LONG,
    clock: Callable[[], float] | None = None,
) -> None:
    """Runs a scenario with candidates of these names, in an empty cluster."""

    async def played() -> None:
        async with relay_user(broker) as relay:
            await emptied(relay)
            async with candidates(relay, *names, life=life, clock=clock) as found:
                await scenario(*found)

    asyncio.run(played())


async def leads(one: Candidate, *others: Candidate) -> None:
    """Has a candidate get the lease, and waits until all candidates have heard of it."""
    one.waits()
    assert await one.lease.acquire(7)
    await until(lambda: all(candidate.heard[-1:] == [one.name] for candidate in (one, *others)))


async def gets(one: Candidate) -> bool:
    """Whether a candidate finds the lease vacant and gets it now."""
    try:
        return one.is_vacant() and await one.lease.acquire(1)
    except JetStreamError:
        return False


async def gets_and_keeps(one: Candidate) -> None:
    await until(lambda: gets(one))
    await one.lease.keep()


async def standing(one: Candidate) -> int:
    """The sequence of the key's last message, which the next write must expect."""
    return (await one.bucket.last(KEY)).sequence


def test_of_several_one_gets_it_and_the_others_hear_of_it(broker: NatsServer) -> None:
    async def scenario(*all_of_them: Candidate) -> None:
        for one in all_of_them:
            one.waits()
        got = await asyncio.gather(*(one.lease.acquire(7) for one in all_of_them))
        assert sorted(got) == [False, False, True]
        assert [one.lease.is_valid for one in all_of_them] == got
        winner = all_of_them[got.index(True)]
        await until(lambda: all(one.heard == [winner.name] for one in all_of_them))
        expected = Leader(
            name=winner.name, instance=f"{winner.name}-1", term=7, address=f"http://{winner.name}"
        )
        assert [one.watch.leader for one in all_of_them] == [expected] * 3
        assert not any(one.is_vacant() for one in all_of_them)

    play(broker, scenario, "a", "b", "c")


def test_who_has_just_begun_to_listen_waits_for_one_it_may_not_have_heard_of(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        assert not one.is_vacant()
        assert not await one.lease.acquire(1)
        one.seconds.now += LONG.wait_seconds - 1
        assert not one.is_vacant()
        one.seconds.now += 1
        assert one.is_vacant()
        assert await one.lease.acquire(1)

    play(broker, scenario, "a")


def test_a_broker_that_ends_a_lease_too_early_gives_it_to_nobody_before_its_holder_knows(
    broker: NatsServer,
) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await leads(one, other)
        other.waits()
        await one.lease.tell(8)
        renewal = await standing(one)
        await until(lambda: other.watch.sequence == renewal)
        # As if a broker whose clock is ahead ended the lease early.
        await one.bucket.end(KEY, expected=renewal, timeout_ms=5_000)
        await until(lambda: other.heard[-1] is None)
        was_valid = one.lease.is_valid
        assert not await other.lease.acquire(9)
        for candidate in (one, other):
            candidate.seconds.now += LONG.valid_seconds
        assert (was_valid, one.lease.is_valid) == (True, False)
        assert not other.is_vacant()
        other.waits()
        assert await other.lease.acquire(9)

    play(broker, scenario, "a", "b")


def test_who_has_missed_something_waits_as_one_who_has_just_begun(broker: NatsServer) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await leads(one, other)
        await other.stops()
        await one.lease.tell(8)
        await one.bucket.end(KEY, expected=await standing(one), timeout_ms=5_000)
        other.waits()
        await other.watch.look()
        assert not other.is_vacant()
        await other.watches()
        assert not other.is_vacant()
        other.waits()
        assert other.is_vacant()

    play(broker, scenario, "a", "b")


def test_a_lease_that_is_released_is_had_at_once(broker: NatsServer) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await leads(one, other)
        vacant = asyncio.create_task(other.watch.vacant(other.name))
        began = time.monotonic()
        await one.lease.release()
        assert not one.lease.is_valid
        await vacant
        assert await other.lease.acquire(8)
        assert time.monotonic() - began < patiently(0.3)
        assert other.lease.is_valid
        await until(lambda: one.heard[-1] == other.name)

    play(broker, scenario, "a", "b")


def test_one_that_is_released_while_it_is_renewed_is_had_at_once_too(broker: NatsServer) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await leads(one, other)
        await asyncio.gather(one.lease.tell(8), one.lease.release("b"))
        await other.watch.vacant("b")
        assert await other.lease.acquire(9)

    play(broker, scenario, "a", "b")


def test_a_lease_that_is_handed_over_is_left_to_whom_it_is_for_for_a_while(broker: NatsServer) -> None:
    async def scenario(one: Candidate, other: Candidate, third: Candidate) -> None:
        await leads(one, other, third)
        await one.lease.release("b")
        await until(lambda: None in other.heard and None in third.heard)
        assert not third.is_vacant()
        assert not await third.lease.acquire(8)
        assert other.is_vacant()
        # The chosen successor does not take the lease within its head start.
        third.seconds.now += HEAD_START_SECONDS
        assert await third.lease.acquire(8)
        assert not await other.lease.acquire(8)

    play(broker, scenario, "a", "b", "c")


def test_a_renewal_that_was_stored_without_an_answer_is_the_holders_own(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        await leads(one)
        assert one.watch.leader is not None
        await one.bucket.put(
            KEY,
            codec.encode(one.watch.leader),
            expected=await standing(one),
            lives_seconds=60,
            timeout_ms=5_000,
        )
        await one.lease.tell(8)
        await until(lambda: one.watch.leader is not None and one.watch.leader.term == 8)
        one.seconds.now += LONG.valid_seconds - 1
        assert one.lease.is_valid

    play(broker, scenario, "a")


def test_one_that_another_has_taken_is_lost(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        await leads(one)
        other = Leader(name="b", instance="b-1", term=8, address="")
        await one.bucket.put(
            KEY, codec.encode(other), expected=await standing(one), lives_seconds=60, timeout_ms=5_000
        )
        with pytest.raises(LeaseLostError, match="b holds the lease"):
            await one.lease.tell(8)
        assert not one.lease.is_valid

    play(broker, scenario, "a")


def test_one_that_was_not_renewed_in_time_is_given_up_and_not_renewed_any_more(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        await leads(one)
        before = await standing(one)
        one.seconds.now += LONG.valid_seconds
        assert not one.lease.is_valid
        with pytest.raises(LeaseLostError, match="could not be renewed for 40 s"):
            await one.lease.tell(8)
        assert await standing(one) == before

    play(broker, scenario, "a")


def test_one_whose_bucket_is_gone_is_given_up(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        await until(lambda: gets(one))
        async with relay_user(broker) as relay:
            await JetStreamApi(relay).delete(BUCKET_STREAM)
        with pytest.raises(LeaseLostError, match="could not be renewed"):
            await asyncio.wait_for(one.lease.keep(), patiently(5))
        assert not one.lease.is_valid

    play(broker, scenario, "a", life=SHORT, clock=time.monotonic)


def test_the_end_of_a_lease_is_heard_by_its_marker_and_another_has_it(broker: NatsServer) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await until(lambda: gets(one))
        await until(lambda: "a" in other.heard)
        # The holder does not renew its lease, as if it were frozen.
        await asyncio.wait_for(other.watch.vacant(other.name), patiently(5))
        assert other.heard[-1] is None
        assert not one.lease.is_valid
        await until(lambda: gets(other))

    play(broker, scenario, "a", "b", life=SHORT, clock=time.monotonic)


def test_one_that_is_cut_off_has_given_up_when_another_has_it(broker: NatsServer) -> None:
    async def scenario(other: Candidate) -> None:
        async with Link(broker.port) as link:
            url = f"{broker.url_for(RELAY).rpartition('@')[0]}@127.0.0.1:{link.port}"
            connection = await connect(url, inbox_prefix=private_inbox(RELAY), within_seconds=10)
            try:
                async with candidates(connection, "a", life=SHORT, clock=time.monotonic) as (one,):
                    keeping = asyncio.create_task(gets_and_keeps(one))
                    await until(lambda: "a" in other.heard)
                    link.hold()
                    await until(lambda: gets(other))
                    assert not one.lease.is_valid
                    link.heal()
                    await cancel(keeping)
            finally:
                link.heal()
                await connection.close()

    play(broker, scenario, "b", life=SHORT, clock=time.monotonic)


def test_in_a_bucket_that_was_made_anew_another_leads_after_the_holder_has_given_up(
    broker: NatsServer,
) -> None:
    async def scenario(one: Candidate, other: Candidate) -> None:
        await leads(one, other)
        async with relay_user(broker) as relay:
            await emptied(relay)
        await until(lambda: other.heard[-1] is None)
        assert not other.is_vacant()
        other.waits()
        one.waits()
        assert await other.lease.acquire(8)
        with pytest.raises(LeaseLostError):
            # The old leader expects its own last message, whose place the new leader's has taken.
            await one.lease.tell(9)
        await until(lambda: one.heard[-1] == "b")

    play(broker, scenario, "a", "b")


def test_what_is_no_leader_keeps_nobody_from_leading(broker: NatsServer) -> None:
    async def scenario(one: Candidate) -> None:
        one.waits()
        await one.bucket.put(KEY, b"somebody", expected=0, lives_seconds=None, timeout_ms=5_000)
        await until(lambda: one.watch.sequence > 0)
        assert not one.is_vacant()
        one.waits()
        assert await one.lease.acquire(1)

    play(broker, scenario, "a")
