"""Whatever happens to the broker while they follow, subscribers get each event once and in order."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from bus.client import ChangeEvent, Client, Subscription
from domain import app_state, jobs
from ops.service import Service
from tests.integration.serving import (
    EVENTS,
    broker_of,
    client_of,
    kill_broker,
    relay_user,
    serving,
    until,
)

# A hot row among others, so that a stream of its own can be followed.
HOT = "hot"
DISTURBANCES = 4
EVENTS_BETWEEN = 150
COMES_WITHIN_SECONDS = 60.0


async def kill(service: Service) -> None:
    await kill_broker(service)


async def wipe(service: Service) -> None:
    """The broker comes back with nothing."""
    streams = broker_of(service).home.path / "jetstream"
    await kill_broker(service, then=partial(shutil.rmtree, streams))


async def delete_stream(service: Service) -> None:
    """The relay makes it anew, and fills it from position 1."""
    async with relay_user(service) as relay:
        await relay.jetstream().delete_stream(EVENTS)


async def purge(service: Service) -> None:
    async with relay_user(service) as relay:
        await relay.jetstream().purge_stream(EVENTS)


async def cut(service: Service) -> None:
    """From now on the stream keeps less than a subscriber may lag behind."""
    async with relay_user(service) as relay:
        jetstream = relay.jetstream()
        config = (await jetstream.stream_info(EVENTS)).config
        config.max_msgs = 10
        await jetstream.update_stream(config)


async def drop_consumers(service: Service) -> None:
    async with relay_user(service) as relay:
        jetstream = relay.jetstream()
        for consumer in await jetstream.consumers_info(EVENTS):
            await jetstream.delete_consumer(EVENTS, consumer.name)


Disturbance = Callable[[Service], Awaitable[None]]
ALL: tuple[Disturbance, ...] = (kill, wipe, delete_stream, purge, cut, drop_consumers)


class Load:
    """Commands without a pause, until `stop`. `position` is that of the last answered one."""

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
                    jobs.Enqueue(type="sync", name="x", id=f"j-{number}"),
                    app_state.Set(key=HOT, value=b"%d" % number),  # type: ignore[arg-type]
                    jobs.Cancel(id=f"j-{number}"),
                ],
                timeout_seconds=COMES_WITHIN_SECONDS,
            )
            self.position = max(getattr(outcome, "position", 0) for outcome in outcomes)


async def follow(subscription: Subscription, found: list[ChangeEvent], last: asyncio.Future[int]) -> None:
    """Collects events until there is one at the position that is known in the end."""
    async with subscription:
        async for event in subscription:
            found.append(event)
            if last.done() and event.position >= last.result():
                return


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
        last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        found: dict[str, list[ChangeEvent]] = {"all": [], "jobs": [], "hot": [], "late": []}
        load = Load(client)
        following = [
            asyncio.create_task(follow(client.subscribe(), found["all"], last)),
            asyncio.create_task(follow(client.subscribe(table="jobs"), found["jobs"], last)),
            asyncio.create_task(follow(client.subscribe(stream=f"app_state/{HOT}"), found["hot"], last)),
        ]
        for disturb in disturbances:
            await load.grows_by(EVENTS_BETWEEN)
            await disturb(service)
        following.append(asyncio.create_task(follow(client.subscribe(), found["late"], last)))
        await load.grows_by(EVENTS_BETWEEN)
        await load.stop()
        # One of each, so that each follower meets the end.
        await client.send(jobs.Enqueue(type="sync", name="x", id="end"))
        await client.send("app_state.set", {"key": HOT, "value": "end"})
        last.set_result(service.writer.head.position - 1)
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            await asyncio.gather(*following)
        log = await whole_log(client)
    ids = {
        "all": [event.id for event in log],
        "late": [event.id for event in log],
        "jobs": [event.id for event in log if event.table == "jobs"],
        "hot": [event.id for event in log if event.key == HOT],
    }
    for who, events in found.items():
        got = [event.id for event in events]
        # Whoever met the last but one may have stopped there.
        assert got == ids[who][: len(got)], who
        assert len(got) >= len(ids[who]) - 1, who


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
        found: list[ChangeEvent] = []
        last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with serving(tmp_path) as service:
            # The address stays good: the broker comes back on the same port.
            connecting = client_of(service)
            client = await connecting.__aenter__()
            following = asyncio.create_task(follow(client.subscribe(), found, last))
            await Load(client).grows_by(EVENTS_BETWEEN)
        try:
            for _ in range(2):
                async with serving(tmp_path) as service:
                    await client.send("jobs.enqueue", {"type": "sync", "name": "x"}, timeout_seconds=30)
            async with serving(tmp_path) as service:
                answer = await client.send("app_state.set", {"key": "k", "value": 1}, timeout_seconds=30)
                last.set_result(answer.position or 0)
                async with asyncio.timeout(COMES_WITHIN_SECONDS):
                    await following
        finally:
            await connecting.__aexit__(None, None, None)
        return found, last.result()

    found, last = asyncio.run(scenario())

    assert [event.position for event in found] == list(range(1, last + 1))
