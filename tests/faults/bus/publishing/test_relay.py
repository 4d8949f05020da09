"""The relay where things break: the log is in the stream, each event once and in order, all the same."""

import asyncio
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import apsw
import pytest

from bus.broker.users import RELAY
from bus.publishing.relay import Relay
from bus.transport.jetstream import JetStreamError
from bus.transport.stream_limits import NO_LIMITS, Limits
from tests.support.patience import until
from tests.support.repository import ROOT
from tests.support.stores.relaying import (
    NAMES,
    Broker,
    Store,
    play,
    relay_of,
    relayed,
    running,
    through,
    until_stream_holds,
)

SEED = random.SystemRandom().randrange(2**32)

RELAY_PROCESS = """
import asyncio, sys
from pathlib import Path
import nats
from bus.log.cloud_events import Origin
from hyperpage_client.transport.connection import LeanClient
from bus.broker.users import RELAY, private_inbox
from bus.log.reader_pool import ReaderPool
from bus.publishing.relay import Relay
from hyperpage_client.contract.subjects import BusNames

async def main(path, store_id, url):
    connection = LeanClient()
    await connection.connect(
        url, inbox_prefix=private_inbox(RELAY).encode(), reconnect_time_wait=0.05, max_reconnect_attempts=-1
    )
    await Relay(connection, BusNames(), Origin(store_id), ReaderPool(Path(path)).connection).run()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the growing pauses before restarts of nats-server short: they are not tested here."""
    monkeypatch.setattr("bus.broker.server.LONGEST_RESTART_DELAY_MS", 200)


@pytest.mark.parametrize("kills", [10, pytest.param(150, marks=pytest.mark.prove)])
def test_a_broker_that_is_killed_under_load_costs_nothing(tmp_path: Path, kills: int):
    chance = seeded()

    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay, load(relay, store, chance):
            for _ in range(kills):
                behind = (relay.state.position or 0) + chance.randrange(1_000)
                await until_published(relay, behind)
                await broker.kill()
            await until(lambda: broker.connection.is_connected)
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies()
        assert await broker.offsets() == [(1, 1, 0)]

    play(scenario, tmp_path)


@pytest.mark.parametrize("may_delete", [True, False], ids=["its own broker", "a shared one"])
def test_a_stream_whose_description_was_lost_in_a_power_cut_is_filled_anew(tmp_path: Path, may_delete: bool):
    async def scenario(broker: Broker, store: Store):
        store.append(300)
        await relayed(broker, store)

        def lose() -> None:
            # nats-server does not sync these files. A stream that is made anew adopts the messages.
            for name in ("meta.inf", "meta.sum"):
                (broker.streams / NAMES.events / name).unlink()

        await broker.restart(lose)
        await broker.reconnect()
        store.append(5)
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        await relay.prepare(may_delete=may_delete)
        async with running(relay):
            await through(relay, store)
        assert await broker.bodies() == store.bodies()
        assert await broker.offsets() == [(1, 1, 0)]

    play(scenario, tmp_path)


def gone(block: Path) -> None:
    block.unlink()


def without_its_beginning(block: Path) -> None:
    content = block.read_bytes()
    half = len(content) // 2
    block.write_bytes(bytes(half) + content[half:])


@pytest.mark.parametrize(
    ("damage", "number", "of", "limits"),
    [
        pytest.param(gone, 0, 1, NO_LIMITS, id="all"),
        pytest.param(gone, 0, 1, Limits(kept_seconds=86_400), id="all of a day"),
        pytest.param(without_its_beginning, 0, 1, NO_LIMITS, id="the beginning of a file"),
        pytest.param(gone, 0, 3, Limits(size_bytes=64 * 1024 * 1024), id="the first file of 64 MiB"),
        pytest.param(gone, 1, 3, NO_LIMITS, id="a file between"),
    ],
)
def test_a_stream_whose_messages_were_lost_in_a_power_cut_is_filled_anew(
    tmp_path: Path, damage: Callable[[Path], None], number: int, of: int, limits: Limits
):
    async def scenario(broker: Broker, store: Store):
        async def relayed_within(limits: Limits) -> None:
            relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection, limits=limits)
            await relay.prepare(may_delete=True)
            async with running(relay):
                await through(relay, store)

        def lose() -> None:
            # By `index.db`, nats-server still knows where the stream ended.
            blocks = sorted((broker.streams / NAMES.events / "msgs").glob("*.blk"))
            assert len(blocks) == of
            damage(blocks[number])

        store.append(20, size=20 if of == 1 else 4_000)
        # With such a limit, nats-server makes block files of 32 kB.
        await relayed_within(Limits(size_bytes=120_000))
        await broker.change(max_bytes=-1)
        await broker.restart(lose)
        await broker.reconnect()
        store.append(5)
        await relayed_within(limits)
        assert await broker.bodies() == store.bodies()
        assert await broker.offsets() == [(1, 1, 0)]

    play(scenario, tmp_path)


@pytest.mark.parametrize("kills", [5, pytest.param(60, marks=pytest.mark.prove)])
def test_a_relay_that_is_killed_costs_nothing_and_neither_does_its_broker(tmp_path: Path, kills: int):
    chance = seeded()

    async def scenario(broker: Broker, store: Store):
        for _ in range(kills):
            store.append(chance.randrange(1, 4_000))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", RELAY_PROCESS, store.path, store.origin.store_id),
                broker.server.url_for(RELAY),
                cwd=ROOT,
            )
            target = chance.randint(1, store.head.position)
            await until_stream_has(broker, target)
            if chance.random() < 0.5:
                await broker.kill()
            process.kill()
            await process.wait()
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


@pytest.mark.parametrize("blows", [8, pytest.param(100, marks=pytest.mark.prove)])
def test_whatever_becomes_of_the_stream_events_come_once_and_in_order(tmp_path: Path, blows: int):
    chance = seeded()

    async def scenario(broker: Broker, store: Store):
        async def delete() -> None:
            await broker.api.delete(NAMES.events)

        async with relay_of(broker, store) as relay, load(relay, store, chance):
            for _ in range(blows):
                behind = (relay.state.position or 0) + chance.randrange(300)
                await until_published(relay, behind)
                with suppress(JetStreamError):
                    await chance.choice([broker.kill, broker.purge, delete])()
                await until(lambda: broker.connection.is_connected)
        await relayed(broker, store)
        found = await broker.messages()
        # Each message is at its place, so none is there twice.
        bodies = store.bodies()
        assert all(message.payload == bodies[message.sequence - 1] for message in found)
        assert await broker.last_sequence() == store.head.position
        # A purge took the beginning; nothing else is missing.
        assert [message.sequence for message in found] == list(
            range(store.head.position + 1 - len(found), store.head.position + 1)
        )

    play(scenario, tmp_path)


@pytest.mark.parametrize("lost", ["all", "messages"])
def test_a_broker_that_lost_its_files_is_filled_again(tmp_path: Path, lost: str):
    async def scenario(broker: Broker, store: Store):
        folder = broker.streams / NAMES.events
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(500))
            await through(relay, store)
            await broker.restart(lambda: shutil.rmtree(folder / "msgs" if lost == "messages" else folder))
            relay.notify(store.append(5))
            await until_stream_holds(broker, store)
            await through(relay, store)

    play(scenario, tmp_path)


def test_a_broker_whose_files_vanish_while_it_runs_is_filled_again(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(500))
            await through(relay, store)
            shutil.rmtree(broker.streams)
            relay.notify(store.append(5))
            await broker.kill()
            await until_stream_holds(broker, store)
            await through(relay, store)

    play(scenario, tmp_path)


def test_a_stream_that_lost_its_last_messages_gets_them_again(tmp_path: Path):
    """As after a power cut: the broker acknowledges messages before they are on disk."""

    async def scenario(broker: Broker, store: Store):
        earlier = tmp_path / "earlier"
        folder = broker.streams / NAMES.events
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(300))
            await through(relay, store)
        await broker.restart(lambda: shutil.copytree(folder, earlier))
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(200))
            await through(relay, store)

            def set_back() -> None:
                shutil.rmtree(folder)
                shutil.copytree(earlier, folder)

            await broker.restart(set_back)
            await until_stream_holds(broker, store)
        assert await broker.last_sequence() == 500

    play(scenario, tmp_path)


@pytest.mark.parametrize("place", ["in front of", "in the middle of"])
def test_a_message_of_somebody_elses_hides_no_event_of_a_block(tmp_path: Path, place: str):
    """It takes a sequence, so the event that was to have it is refused; later messages would hide that."""

    async def scenario(broker: Broker, store: Store):
        connection, publish = broker.connection, broker.connection.publish_encoded

        async def publish_around(messages: bytes, count: int) -> None:
            if count > 1:
                connection.publish_encoded = publish  # type: ignore[method-assign]
                cut = messages.index(b"HPUB ", 0 if place == "in front of" else len(messages) // 2)
                await publish(messages[:cut], count // 2)
                # Sent by the relay user, since no other may publish there.
                await connection.request("hyperpage.evt.v1.jobs.1.forged", b"{}", timeout=30)
                messages = messages[cut:]
            await publish(messages, count)

        connection.publish_encoded = publish_around  # type: ignore[method-assign]
        store.append(400)
        async with relay_of(broker, store) as relay:
            await until(lambda: "is not an event of this store" in (relay.state.problem or ""))
            assert "hyperpage stream refill --yes" in (relay.state.repair or "")
            # No event comes behind that message.
            *published, last = await broker.bodies()
            assert (published, last) == (store.bodies()[: len(published)], b"{}")
            await relay.refill()
            await until_stream_holds(broker, store)
            await through(relay, store)

    play(scenario, tmp_path)


def test_a_broker_that_hangs_is_a_problem_until_it_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(10))
            await through(relay, store)
            broker.signal(signal.SIGSTOP)
            relay.notify(store.append(2_000))
            await until(lambda: not relay.state.healthy, seconds=30)
            assert relay.state.lag > 0
            broker.signal(signal.SIGCONT)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_log_that_cannot_be_read_for_a_while_is_a_problem_for_as_long(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        failing = True

        def read():
            if failing:
                raise apsw.IOError("the disk does not answer")
            return store.readers.connection()

        store.append(20)
        relay = Relay(broker.connection, NAMES, store.origin, read)
        running = asyncio.create_task(relay.run())
        await until(lambda: relay.state.problem == "the disk does not answer")
        failing = False
        await through(relay, store)
        relay.stop()
        await running

    play(scenario, tmp_path)


def test_the_loop_is_not_held_up_while_a_stream_is_filled(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20_000)
        gaps: list[float] = []

        async def watch() -> None:
            # Counts the loop's own work, not the time that a busy machine gives to other programs.
            last = time.thread_time()
            while True:
                await asyncio.sleep(0)
                gaps.append(time.thread_time() - last)
                last = time.thread_time()

        async with relay_of(broker, store) as relay:
            watching = asyncio.create_task(watch())
            await through(relay, store)
            watching.cancel()
        # Usually some milliseconds; the limit leaves room for a slow machine.
        assert sorted(gaps)[-10] < 0.1

    play(scenario, tmp_path)


@asynccontextmanager
async def load(relay: Relay, store: Store, chance: random.Random) -> AsyncIterator[None]:
    """Commits groups of events, as fast as the relay takes them, for the length of the block."""

    async def commit() -> None:
        while True:
            if relay.state.lag < 2_000:
                relay.notify(store.append(chance.randint(1, 40)))
            await asyncio.sleep(0.001)

    committing = asyncio.create_task(commit())
    try:
        yield
    finally:
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)


async def until_published(relay: Relay, position: int) -> None:
    # After the stream was deleted, the whole log is published again.
    await until(lambda: (relay.state.position or 0) >= position, seconds=60)


async def until_stream_has(broker: Broker, sequence: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(JetStreamError, AssertionError):
                if await broker.last_sequence() >= sequence:
                    return
            await asyncio.sleep(0.01)


def seeded() -> random.Random:
    print("seed", SEED)
    return random.Random(SEED)
