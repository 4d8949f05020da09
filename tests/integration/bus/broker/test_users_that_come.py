"""Users come and go while others work; without a service, their requests fail at once."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from bus.broker.users import APP, RELAY, RESPONDER
from tests.support.patience import patiently, until
from tests.support.services.users_at_work import (
    BILLING,
    EVENT,
    RIVAL,
    SECONDS,
    UsersAtWork,
    own_users,
    user_with,
)

EVENTS = "HYPERPAGE_EVENTS"


@pytest.fixture
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsersAtWork]:
    """One of the test's own."""
    bus = UsersAtWork(tmp_path_factory.mktemp("data"), own_users())
    bus.run(bus.open())
    yield bus
    bus.run(bus.close())
    bus.runner.close()


async def let_in(bus: UsersAtWork, user: str) -> Client:
    """A connection of a user's as soon as there can be one."""
    found: list[Client] = []

    async def is_let_in() -> bool:
        try:
            found.append(await nats.connect(bus.url_of(user), allow_reconnect=False))
        except nats.errors.Error:
            return False
        return True

    await until(is_let_in)
    return found[0]


async def away(bus: UsersAtWork) -> None:
    """Disconnects the service, and waits until nats-server has noticed: earlier requests are lost."""
    for user in (RESPONDER, RELAY):
        await bus.clients[user].close()

    async def is_noticed(subject: str) -> bool:
        try:
            await bus.clients[APP].request(subject, timeout=0.5)
        except nats.errors.NoRespondersError:
            return True
        except nats.errors.TimeoutError:
            pass
        return False

    for subject in ("hyperpage.qry.v1.echo", "$JS.API.INFO"):
        await until(partial(is_noticed, subject))


def test_a_user_that_comes_is_served_and_disturbs_nobody(bus: UsersAtWork):
    async def scenario() -> None:
        billing = bus.jetstream(BILLING)
        ordered = await billing.subscribe("hyperpage.evt.v1.>", ordered_consumer=True)
        pull = await billing.pull_subscribe("hyperpage.evt.v1.none.>", durable="waiting")
        waiting = asyncio.create_task(pull.fetch(1, timeout=SECONDS))
        live = await bus.clients[BILLING].subscribe("hyperpage.evt.v1.>")
        await bus.settled()

        for round_ in range(3):
            await bus.set_users(
                [*own_users(), *(user_with(f"newcomer-{number}") for number in range(round_ + 1))]
            )
            newcomer = await let_in(bus, f"newcomer-{round_}")
            answer = await newcomer.request("hyperpage.qry.v1.echo", b"?", timeout=SECONDS)
            assert answer.data == b"?"
            jetstream = newcomer.jetstream(timeout=SECONDS)
            own = await jetstream.subscribe("hyperpage.evt.v1.>", ordered_consumer=True)
            assert (await own.next_msg(timeout=SECONDS)).metadata.sequence.stream == 1
            stored = await jetstream.publish("hyperpage.dcmd.v1.x", b"{}")
            assert stored.stream == "HYPERPAGE_COMMANDS"
            await newcomer.close()

        await bus.jetstream(RELAY).publish("hyperpage.evt.v1.none.1.x", b"later")
        (late,) = await waiting
        assert late.data == b"later"
        await late.ack_sync(timeout=SECONDS)
        assert (await live.next_msg(timeout=SECONDS)).data == b"later"
        read = [await ordered.next_msg(timeout=SECONDS) for _ in range(101)]
        assert [message.metadata.sequence.stream for message in read] == list(range(1, 102))
        for user in (BILLING, RIVAL, APP, RELAY, RESPONDER):
            assert bus.clients[user].stats["reconnects"] == 0, user

    bus.run(scenario())


def test_requests_are_answered_without_a_gap_while_users_come_and_go(bus: UsersAtWork):
    """Each request is answered within the time that a client waits by default; none is lost.

    While nats-server takes in its users, it may say that there is no stream, more than once: nothing is
    stored then, and the sender sends its message again.
    """

    async def is_stored(user: str) -> bool:
        try:
            return (await bus.jetstream(user).publish("hyperpage.dcmd.v1.x", b"{}")).seq > 0
        except nats.js.errors.NoStreamResponseError:
            return False

    async def asking(stop: asyncio.Event, user: str) -> int:
        count = 0
        while not stop.is_set():
            await bus.clients[user].request("hyperpage.qry.v1.echo", b"?", timeout=SECONDS)
            await bus.jetstream(user).stream_info(EVENTS)
            await until(partial(is_stored, user), SECONDS)
            count += 1
        return count

    async def scenario() -> None:
        stop = asyncio.Event()
        for user in (BILLING, APP):
            # Clients subscribe to their inboxes now: nats-server may end if one does while it takes in users.
            await bus.clients[user].request("hyperpage.qry.v1.echo", b"?", timeout=SECONDS)
        tasks = [asyncio.create_task(asking(stop, user)) for user in (BILLING, APP)]
        for number in range(10):
            others = [user_with(f"other-{number}")] if number % 2 else []
            await bus.set_users([*own_users(), *others])
            if others:
                await (await let_in(bus, f"other-{number}")).close()
        stop.set()
        assert all(await asyncio.gather(*tasks))

    bus.run(scenario())


def test_a_user_that_is_no_more_is_cut_off_at_once(bus: UsersAtWork):
    async def scenario() -> None:
        rival = await nats.connect(bus.url_of(RIVAL), allow_reconnect=False)
        address = bus.url_of(RIVAL)
        await bus.set_users([user for user in own_users() if user.name != RIVAL])
        await until(lambda: rival.is_closed)
        with pytest.raises(nats.errors.Error):
            await nats.connect(address, allow_reconnect=False)
        assert bus.clients[BILLING].stats["reconnects"] == 0

    bus.run(scenario())


@pytest.mark.parametrize("user", [APP, BILLING])
def test_a_request_is_answered_at_once_where_no_service_is(bus: UsersAtWork, user: str):
    async def scenario() -> float:
        await away(bus)
        began = time.monotonic()
        for subject in ("hyperpage.cmd.v1.jobs.enqueue", "hyperpage.qry.v1.echo", "$SRV.PING"):
            with pytest.raises(nats.errors.NoRespondersError):
                await bus.clients[user].request(subject, b"{}", timeout=SECONDS)
        jetstream = bus.jetstream(user)
        for asked in (
            jetstream.account_info(),
            jetstream.stream_info(EVENTS),
            jetstream.get_msg(EVENTS, 1, direct=True),
            jetstream.subscribe("hyperpage.evt.v1.>", stream=EVENTS, ordered_consumer=True),
        ):
            with pytest.raises((nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError)):
                await asked
        return time.monotonic() - began

    assert bus.run(scenario()) < patiently(1.0)


def test_durable_commands_are_taken_while_the_service_is_away(bus: UsersAtWork):
    async def scenario() -> str:
        await away(bus)
        stored = await bus.jetstream(BILLING).publish("hyperpage.dcmd.v1.x", b"{}")
        return stored.stream

    assert bus.run(scenario()) == "HYPERPAGE_COMMANDS"


def test_a_consumer_that_is_read_goes_on_while_the_service_is_away(bus: UsersAtWork):
    async def scenario() -> list[bytes]:
        ordered = await bus.jetstream(BILLING).subscribe("hyperpage.evt.v1.>", ordered_consumer=True)
        for _ in range(100):
            await ordered.next_msg(timeout=SECONDS)
        await bus.clients[RESPONDER].close()
        await bus.jetstream(RELAY).publish(EVENT, b"later")
        await bus.clients[RELAY].close()
        return [(await ordered.next_msg(timeout=SECONDS)).data]

    assert bus.run(scenario()) == [b"later"]
