"""Following events: each once and in order, from anywhere, filtered or not, across restores."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

import hyperpage_client.following.live_feed
from bus.broker.server import NatsServer
from bus.client import ChangeEvent, Client, PlaceLostError, Subscription
from bus.serving.queries import awaited_places
from domain.catalogue import TIMELINE_FORKED
from domain.errors import Invalid
from domain.jobs import commands
from ops.service.composition import Service
from tests.support.documents.guides import blocks, guide
from tests.support.patience import until
from tests.support.repository import ROOT
from tests.support.services.serving import (
    EVENTS,
    client_of,
    copy_of,
    published,
    relay_user,
    restore_by_hand,
    serving,
    set_keys,
    take,
    take_to,
)

GUIDE = guide("subscribing.md")


def positions(events: Sequence[ChangeEvent]) -> list[int]:
    return [event.position for event in events]


def keys(count: int, name: str = "key") -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


async def consumers(service: Service) -> list[str]:
    """The readers of the stream of events."""
    async with relay_user(service) as relay:
        return [consumer.name for consumer in await relay.jetstream(timeout=30).consumers_info(EVENTS)]


async def until_all_are_gone(service: Service) -> None:
    """Returns when the stream of events has no readers; a client does not wait for the end of its own."""

    async def is_so() -> bool:
        return not await consumers(service)

    await until(is_so)


def test_everything_from_the_first_position_on_then_live(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, *keys(5))
            async with client.subscribe() as events:
                earlier = await take(events, 5)
                await client.send(
                    commands.Enqueue(type="sync", name="x", id="j"),
                    actor="me",
                    command_id="c",
                    correlation_id="r",
                )
                (live,) = await take(events, 1)
            return earlier, live, service.origin.store_id

    earlier, live, store_id = asyncio.run(scenario())

    assert positions(earlier) == [1, 2, 3, 4, 5]
    assert (live.id, live.timeline, live.position, live.version) == ("1-6", 1, 6, 1)
    assert (live.stream, live.table, live.key) == ("jobs/j", "jobs", "j")
    assert (live.type, live.data["name"]) == ("job.enqueued.v1", "x")
    assert (live.store_id, live.actor, live.command_id, live.correlation_id) == (store_id, "me", "c", "r")
    assert (live.time.tzinfo is not None, len(live.hash)) == (True, 64)


def test_the_stream_and_the_log_tell_the_same(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await published(service, await set_keys(client, *keys(5)))
            async with client.subscribe() as events:
                return await take(events, 5), (await client.read_events()).items

    followed, read = asyncio.run(scenario())

    assert tuple(followed) == read


@pytest.mark.parametrize("from_position", [1, 4, 6, 7])
def test_a_subscription_begins_where_it_is_told_to(tmp_path: Path, from_position: int):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await published(service, await set_keys(client, *keys(6)))
            async with client.subscribe(from_position) as events:
                following = asyncio.create_task(take_to(events, 8))
                await set_keys(client, "more", "and-more")
                return await following

    assert positions(asyncio.run(scenario())) == list(range(from_position, 9))


@pytest.mark.parametrize("kept", [0, 3])
@pytest.mark.parametrize("table", [None, "app_state"])
def test_what_has_left_the_stream_comes_from_the_log(tmp_path: Path, kept: int, table: str | None):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await published(service, await set_keys(client, *keys(10)))
            async with relay_user(service) as relay:
                await relay.jetstream().purge_stream(EVENTS, keep=kept)
            async with client.subscribe(table=table) as events:
                earlier = await take(events, 10)
                await set_keys(client, "more", "and-more")
                return earlier + await take(events, 2)

    assert positions(asyncio.run(scenario())) == list(range(1, 13))


@pytest.mark.parametrize("table", [None, "app_state"])
def test_what_leaves_the_stream_before_it_is_fetched_comes_from_the_log(tmp_path: Path, table: str | None):
    """A stream with limits, and a subscriber who falls behind: the broker skips messages without a word."""

    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await published(service, await set_keys(client, *keys(2)))
            async with client.subscribe(table=table) as events:
                first = await take(events, 1)
                assert await consumers(service)
                # More events than the subscription fetches ahead.
                for count in range(2):
                    items = [{"key": key, "value": count} for key in keys(1_000)]
                    await client.send("app_state.set_many", {"items": items})
                await published(service, await set_keys(client, *keys(10, "later")))
                async with relay_user(service) as relay:
                    await relay.jetstream().purge_stream(EVENTS, keep=2)
                return first + await take_to(events, 2_012)

    assert positions(asyncio.run(scenario())) == list(range(1, 2_013))


def test_a_table_and_a_stream_can_be_followed_alone(tmp_path: Path):
    strange = "a/b:c@d+e=f.g"

    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:

            async def change() -> int:
                await client.send("jobs.enqueue", {"type": "sync", "name": "x", "id": strange})
                await client.send(
                    "app_state.set", {"key": "other", "value": service.leading.writer.head.position}
                )
                answer = await client.send(
                    "app_state.set", {"key": strange, "value": service.leading.writer.head.position}
                )
                await client.send("jobs.cancel", {"id": strange})
                return answer.position or 0

            async def follow(events: Subscription) -> list[tuple[str, str]]:
                async with events:
                    return [(event.stream, event.type) for event in await take(events, 3)]

            await change()
            following = [
                asyncio.create_task(follow(client.subscribe(table="jobs"))),
                asyncio.create_task(follow(client.subscribe(table="app_state"))),
                asyncio.create_task(follow(client.subscribe(stream=f"app_state/{strange}"))),
            ]
            with pytest.raises(Invalid):
                await client.read_events(table="jobs", stream="jobs/a")
            for number in range(3):
                await client.send("jobs.enqueue", {"type": "sync", "name": "x", "id": f"j-{number}"})
                await client.send("app_state.set", {"key": strange, "value": number})
            return await asyncio.gather(*following)

    of_jobs, of_state, of_stream = asyncio.run(scenario())

    assert of_jobs == [
        (f"jobs/{strange}", "job.enqueued.v1"),
        (f"jobs/{strange}", "job.cancelled.v1"),
        ("jobs/j-0", "job.enqueued.v1"),
    ]
    assert of_state == [
        ("app_state/other", "app_state.set.v1"),
        (f"app_state/{strange}", "app_state.set.v1"),
        (f"app_state/{strange}", "app_state.set.v1"),
    ]
    assert of_stream == [(f"app_state/{strange}", "app_state.set.v1")] * 3


def test_a_wait_that_is_given_up_loses_nothing(tmp_path: Path):
    async def scenario():
        async with (
            serving(tmp_path) as service,
            client_of(service) as client,
            client.subscribe(table="app_state") as events,
        ):
            sending = asyncio.create_task(set_keys(client, *keys(200)))
            found: list[ChangeEvent] = []
            async with asyncio.timeout(30):
                while len(found) < 200:
                    # Shorter than any step of the subscription, so that each is cancelled now and then.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.0005):
                            found.append(await anext(events))
            await sending
            return found

    assert positions(asyncio.run(scenario())) == list(range(1, 201))


def test_one_that_takes_its_time_holds_little_and_misses_nothing(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, "first")
            async with client.subscribe() as events:
                first = await take(events, 1)
                for _ in range(4):
                    await client.send_batch([commands.Enqueue(type="sync", name="x")] * 1_000)
                await published(service, 4_001)
                feed = events._feed
                assert feed is not None
                waiting = len(feed._arrived)
                return first + await take_to(events, 4_001), waiting

    events, waiting = asyncio.run(scenario())

    assert positions(events) == list(range(1, 4_002))
    assert waiting <= hyperpage_client.following.live_feed.PULL_MESSAGES


def test_one_whose_consumer_the_broker_has_dropped_goes_on(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, "first")
            async with client.subscribe() as events:
                found = await take(events, 1)
                for number in range(2):
                    async with relay_user(service) as relay:
                        for name in await consumers(service):
                            await relay.jetstream().delete_consumer(EVENTS, name)
                    await set_keys(client, f"again-{number}")
                    found += await take(events, 1)
                return found

    assert positions(asyncio.run(scenario())) == [1, 2, 3]


def test_events_that_are_not_published_come_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hyperpage_client.following.live_feed, "PULL_SECONDS", 0.2)

    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await published(service, await set_keys(client, "first"))
            async with client.subscribe() as events:
                found = await take(events, 1)
                service.leading.relay.stop()
                await set_keys(client, "second", "third")
                return found + await take(events, 2), service.leading.relay.state.position

    events, relayed = asyncio.run(scenario())

    assert positions(events) == [1, 2, 3]
    assert relayed == 1


def test_a_closed_subscription_leaves_nothing_at_the_broker(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, "first")
            async with client.subscribe() as events:
                await take(events, 1)
                await set_keys(client, "second")
                await take(events, 1)
                during = await consumers(service)
            await until_all_are_gone(service)
            return during

    assert len(asyncio.run(scenario())) == 1


def test_a_loop_that_is_left_leaves_nothing_at_the_broker_and_another_goes_on(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, "first")
            events = client.subscribe()
            found: list[ChangeEvent] = []
            during: list[str] = []
            async for event in events:
                found.append(event)
                if event.position == 1:
                    await set_keys(client, "second")
                else:
                    during = await consumers(service)
                    break
            for number in (3, 4):
                await set_keys(client, f"later-{number}")
                async for event in events:
                    found.append(event)
                    break

            async def follow() -> None:
                found.extend([event async for event in events])

            following = asyncio.create_task(follow())
            await until(lambda: events._feed is not None)
            following.cancel()
            await asyncio.wait([following])
            await until_all_are_gone(service)
            async for _ in client.subscribe():
                break
            await until_all_are_gone(service)
            return positions(found), during

    found, during = asyncio.run(scenario())

    assert found == [1, 2, 3, 4]
    assert len(during) == 1


def test_a_subscriber_goes_on_behind_the_event_it_has_handled_last(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, *keys(9))
            found: list[ChangeEvent] = []
            while len(found) < 9:
                async with client.subscribe(after=found[-1].id if found else None) as events:
                    found += await take(events, 3)
            return found

    assert positions(asyncio.run(scenario())) == list(range(1, 10))


def test_what_came_as_an_event_is_in_what_is_read_from_then_on(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client, client_of(service) as other:
            await set_keys(other, *keys(3))
            async with client.subscribe() as events:
                await take(events, 2)
                return client.seen.place

    assert asyncio.run(scenario()) == "1-2"


def test_a_log_that_is_behind_what_was_seen_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)

    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, *keys(2))
            # The event was seen elsewhere: this service is one that follows, say.
            subscription = client.subscribe(after="1-3")
            going_on = asyncio.create_task(take(subscription, 1))
            await until(lambda: service.requests.queries._awaited.waiting)
            await set_keys(client, *keys(4, "more"))
            return await going_on

    assert positions(asyncio.run(scenario())) == [4]


def test_a_place_that_the_log_does_not_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)

    async def scenario():
        async with serving(tmp_path) as service, client_of(service) as client:
            await set_keys(client, *keys(3))
            for place in ({"from_position": 9}, {"after": "1-4"}, {"after": "2-1"}):
                with pytest.raises(PlaceLostError):
                    await take(client.subscribe(**place), 1)
            for nonsense in (
                {"from_position": 0},
                {"after": "x"},
                {"table": "jobs", "stream": "jobs/1"},
                {"table": "*"},
                {"stream": "jobs"},
            ):
                with pytest.raises(ValueError, match=r".+"):
                    client.subscribe(**nonsense)

    asyncio.run(scenario())


def test_another_store_is_not_taken_for_the_one_that_was_followed(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            subscription = client.subscribe()
            async with serving(tmp_path / "one", server):
                await set_keys(client, *keys(3))
                await take(subscription, 3)
            async with relay_user(server) as relay:
                await relay.jetstream().delete_stream(EVENTS)
            async with serving(tmp_path / "another", server):
                await set_keys(client, *keys(5))
                with pytest.raises(PlaceLostError, match="store"):
                    await take(subscription, 1)

    asyncio.run(scenario())


async def history_with_a_restore(
    folder: Path, server: NatsServer, client: Client, subscription: Subscription | None = None
) -> list[ChangeEvent]:
    """Makes positions 1 to 6, and restores to 4, so that 5 is the fork; the events of the subscription."""
    store = folder / "hyperpage.db"
    found: list[ChangeEvent] = []
    async with serving(folder, server) as service:
        await published(service, await set_keys(client, *keys(4)))
        if subscription is not None:
            found += await take(subscription, 4)
    older = copy_of(store)
    async with serving(folder, server) as service:
        await published(service, await set_keys(client, *keys(2, "undone")))
        if subscription is not None:
            found += await take(subscription, 2)
    assert restore_by_hand(store, older) == 5
    return found


@pytest.mark.parametrize("table", [None, "app_state"])
def test_a_restore_is_told_and_the_new_timeline_followed(tmp_path: Path, table: str | None):
    """A subscription that stays open gets the restore and the new timeline."""

    async def scenario():
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            client.subscribe(table=table) as events,
        ):
            found = await history_with_a_restore(tmp_path / "data", server, client, events)
            async with serving(tmp_path / "data", server):
                await set_keys(client, *keys(3, "new"))
                return found + await take(events, 4)

    events = asyncio.run(scenario())

    expected = [f"1-{number}" for number in range(1, 7)] + [f"2-{number}" for number in range(5, 9)]
    assert [event.id for event in events] == expected
    assert events[6].type == TIMELINE_FORKED
    assert events[6].data == {"timeline": 2, "restored_position": 4}


@pytest.mark.parametrize("table", [None, "app_state"])
@pytest.mark.parametrize("is_refilled", [False, True])
def test_one_that_comes_back_after_a_restore_is_told_too(
    tmp_path: Path, table: str | None, is_refilled: bool
):
    new = ["2-5", "2-6", "2-7"]
    expected = {
        None: ["1-1", "1-2", "1-3", "1-4", *new],
        "1-3": ["1-4", *new],
        "1-4": new,
        "1-6": new,
        "2-5": ["2-6", "2-7"],
        "2-6": ["2-7"],
    }

    async def scenario():
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            await history_with_a_restore(tmp_path / "data", server, client)
            if is_refilled:
                async with relay_user(server) as relay:
                    await relay.jetstream().delete_stream(EVENTS)
            async with serving(tmp_path / "data", server) as service, AsyncExitStack() as open_until_end:
                await published(service, await set_keys(client, "new", "newer"))
                found = {}
                for after, ids in expected.items():
                    events = await open_until_end.enter_async_context(
                        client.subscribe(after=after, table=table)
                    )
                    found[after] = ([event.id for event in await take(events, len(ids))], events)
                await set_keys(client, "live")
                return {
                    after: [*ids, *(event.id for event in await take(events, 1))]
                    for after, (ids, events) in found.items()
                }

    assert asyncio.run(scenario()) == {after: [*ids, "2-8"] for after, ids in expected.items()}


def test_one_that_was_ahead_of_the_restored_log_is_told_as_soon_as_it_comes_back(tmp_path: Path):
    """The restore is told also if no event of the new timeline passes the filter."""

    async def scenario():
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            await history_with_a_restore(tmp_path / "data", server, client)
            async with (
                serving(tmp_path / "data", server),
                client.subscribe(after="1-6", table="jobs") as events,
            ):
                return await take(events, 1)

    (fork,) = asyncio.run(scenario())

    assert (fork.id, fork.type) == ("2-5", TIMELINE_FORKED)


def test_the_example_of_the_guide_keeps_each_change_once_although_it_is_killed(tmp_path: Path):
    (example,) = blocks("python", GUIDE)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")

    def changes() -> list[tuple[int, str, str]]:
        database = sqlite3.connect(tmp_path / "changes.db")
        # The example may not have made its table yet.
        with closing(database), suppress(sqlite3.OperationalError):
            return database.execute("SELECT * FROM changes ORDER BY position").fetchall()
        return []

    async def run_until(condition: Callable[[], Any]) -> None:
        follower = await asyncio.create_subprocess_exec(
            sys.executable, "example.py", cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        try:
            await until(lambda: follower.returncode is not None or condition())
            assert follower.returncode is None
        finally:
            with suppress(ProcessLookupError):
                follower.kill()
            await follower.wait()

    async def scenario():
        async with serving(tmp_path / "data") as service, client_of(service) as client:
            sending = asyncio.create_task(set_keys(client, *keys(300)))
            await run_until(changes)
            await sending
            await run_until(lambda: len(changes()) == 300)
            return [
                (event.position, event.stream, event.type) for event in (await client.read_events()).items
            ]

    log = asyncio.run(scenario())

    assert changes() == log
