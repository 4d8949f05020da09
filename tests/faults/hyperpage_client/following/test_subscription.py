"""Whatever happens to the broker while they follow, subscribers get each event once and in order."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
from nats.js.errors import NotFoundError

from bus.client import ChangeEvent, Client, Subscription
from domain import app_state
from domain.jobs import commands
from ops.service.composition import Service
from tests.support.machines import nats_process
from tests.support.patience import until
from tests.support.services.serving import EVENTS, broker_of, client_of, relay_user, serving

# The key of a row that changes often, so that its stream can be followed alone.
HOT = "hot"
DISTURBANCES = 4
EVENTS_BETWEEN = 150
ANSWER_WITHIN_SECONDS = 60.0


async def kill(service: Service) -> None:
    await nats_process.kill(broker_of(service))


async def wipe(service: Service) -> None:
    """Restarts the broker without its streams."""
    streams = broker_of(service).home.path / "jetstream"
    await nats_process.kill(broker_of(service), on_its_files=partial(shutil.rmtree, streams))


async def delete_stream(service: Service) -> None:
    """Deletes the stream; the relay makes it anew, and fills it from position 1."""
    async with relay_user(service) as relay:
        await relay.jetstream(timeout=30).delete_stream(EVENTS)


async def purge(service: Service) -> None:
    async with relay_user(service) as relay:
        await relay.jetstream(timeout=30).purge_stream(EVENTS)


async def cut(service: Service) -> None:
    """Limits the stream to fewer messages than a subscriber may lag behind."""
    async with relay_user(service) as relay:
        jetstream = relay.jetstream(timeout=30)
        config = (await jetstream.stream_info(EVENTS)).config
        config.max_msgs = 10
        await jetstream.update_stream(config)


async def drop_consumers(service: Service) -> None:
    async with relay_user(service) as relay:
        jetstream = relay.jetstream(timeout=30)
        for consumer in await jetstream.consumers_info(EVENTS):
            await jetstream.delete_consumer(EVENTS, consumer.name)


Disturbance = Callable[[Service], Awaitable[None]]
ALL: tuple[Disturbance, ...] = (kill, wipe, delete_stream, purge, cut, drop_consumers)


class Load:
    """Sends commands without a pause, until `stop`. `position` is that of the last answered one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopped = False
        self.position = 0
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> int:
        """The last position."""
        self._stopped = True
        await self._task
        return self.position

    async def grows_by(self, count: int) -> None:
        wanted = self.position + count
        await until(lambda: self.position >= wanted or self._task.done())
        assert not self._task.done(), self._task.exception()

    async def _run(self) -> None:
        number = 0
        while not self._stopped:
            number += 1
            outcomes = await self._client.send_batch(
                [
                    commands.Enqueue(type="sync", name="x", id=f"j-{number}"),
                    app_state.Set(key=HOT, value=msgspec.Raw(b"%d" % number)),
                    commands.Cancel(id=f"j-{number}"),
                ],
                timeout_seconds=ANSWER_WITHIN_SECONDS,
            )
            self.position = max(getattr(outcome, "position", 0) for outcome in outcomes)


class Follower:
    """Collects what a subscription hands out, until `reaches`."""

    def __init__(self, subscription: Subscription) -> None:
        self.found: list[ChangeEvent] = []
        self._subscription = subscription
        self._task = asyncio.create_task(self._run())

    async def reaches(self, event_id: str) -> list[str]:
        """The ids of what came, up to this one."""
        await until(lambda: self._task.done() or (self.found and self.found[-1].id == event_id))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._subscription.aclose()
        return [event.id for event in self.found]

    async def _run(self) -> None:
        async for event in self._subscription:
            self.found.append(event)


async def whole_log(client: Client) -> list[ChangeEvent]:
    events: list[ChangeEvent] = []
    after: int | None = 0
    while after is not None:
        page = await client.read_events(after)
        events += page.items
        after = page.next
    return events


async def followed_under(folder: Path, disturbances: list[Disturbance]) -> None:
    """Asserts that subscribers get what is in the log, while these things happen to the broker."""
    async with serving(folder) as service, client_of(service) as client:
        load = Load(client)
        of_all, of_jobs = Follower(client.subscribe()), Follower(client.subscribe(table="jobs"))
        of_hot = Follower(client.subscribe(stream=f"app_state/{HOT}"))
        for disturb in disturbances:
            await load.grows_by(EVENTS_BETWEEN)
            # After the disturbance before, the stream may not be there again yet.
            with suppress(NotFoundError):
                await disturb(service)
        late = Follower(client.subscribe())
        await load.grows_by(EVENTS_BETWEEN)
        await load.stop()
        log = await whole_log(client)
        for who, ids in (
            (of_all, [event.id for event in log]),
            (late, [event.id for event in log]),
            (of_jobs, [event.id for event in log if event.table == "jobs"]),
            (of_hot, [event.id for event in log if event.key == HOT]),
        ):
            assert await who.reaches(ids[-1]) == ids


@pytest.mark.parametrize("disturb", ALL, ids=lambda disturb: disturb.__name__)
def test_no_event_is_missed_or_comes_twice(tmp_path: Path, disturb: Disturbance):
    asyncio.run(followed_under(tmp_path, [disturb] * DISTURBANCES))


@pytest.mark.parametrize("seed", range(2))
def test_no_event_is_missed_or_comes_twice_when_everything_happens(tmp_path: Path, seed: int):
    chosen = random.Random(seed).choices(ALL, k=2 * DISTURBANCES)
    print(f"seed {seed}:", *(disturb.__name__ for disturb in chosen))

    asyncio.run(followed_under(tmp_path, chosen))


def test_a_subscriber_outlives_the_service_and_its_broker(tmp_path: Path):
    async def scenario():
        async with AsyncExitStack() as open_until_end:
            async with serving(tmp_path) as service:
                # The client's address stays good, since the broker comes back on the same port.
                client = await open_until_end.enter_async_context(client_of(service))
                follower = Follower(client.subscribe())
                load = Load(client)
                await load.grows_by(EVENTS_BETWEEN)
            for _ in range(2):
                async with serving(tmp_path):
                    await load.grows_by(EVENTS_BETWEEN)
            async with serving(tmp_path):
                await load.stop()
                ids = [event.id for event in await whole_log(client)]
                return await follower.reaches(ids[-1]), ids

    got, ids = asyncio.run(scenario())

    assert got == ids
