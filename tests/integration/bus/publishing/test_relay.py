"""The relay: the stream has each event of the log once and in order, also after the stream was damaged."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from bus.broker.users import APP
from bus.publishing.relay import Relay
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.waiting import Trouble
from tests.support.patience import until
from tests.support.stores.relaying import (
    NAMES,
    THROUGH_WITHIN_SECONDS,
    Broker,
    Store,
    play,
    relay_of,
    relayed,
    running,
    through,
    until_stream_holds,
)


def test_what_the_log_has_is_published_in_order(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        rows = store.append(700)
        await relayed(broker, store)
        messages = await broker.messages()

        assert [message.payload for message in messages] == store.bodies()
        assert [message.sequence for message in messages] == [row.position for row in rows]
        first = messages[0]
        assert first.subject == "hyperpage.evt.v1.jobs.k=2E1.enqueued"
        assert first.headers["Nats-Msg-Id"] == "1-1"

    play(scenario, tmp_path)


def test_what_is_committed_is_published_at_once(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay:
            for count in (1, 30, 1, 200):
                relay.notify(store.append(count))
                assert await relay.drain(30_000)
            state = relay.state
        assert (state.position, state.head, state.lag) == (232, 232, 0)
        assert (state.healthy, state.oldest_unpublished_at) == (True, None)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_commit_that_nobody_told_of_is_found(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            store.append(3)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_large_events_are_published(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20, size=250 * 1024)
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_an_event_that_the_broker_is_too_small_for_is_a_problem(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(1)
        # With its headers, this one is too large: nats-server would end the connection.
        store.append(1, size=1024 * 1024 - 100)
        async with relay_of(broker, store) as relay:
            await until(lambda: "takes no message of" in (relay.state.problem or ""))
            assert "max_payload" in (relay.state.repair or "")
            await until(lambda: relay.state.position == 1)
            assert broker.connection.is_connected

    play(scenario, tmp_path)


def test_the_next_relay_goes_on_where_the_stream_stands(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        for _ in range(3):
            store.append(50)
            await relayed(broker, store)
        assert await broker.bodies() == store.bodies()
        assert await broker.offsets() == [(1, 1, 0)]

    play(scenario, tmp_path)


def test_live_subscribers_hear_an_event_on_its_own_subject(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        # Not nats-py's own: its flush may return before the server has read a subscription.
        application = LeanClient()
        await application.connect(broker.server.url_for(APP))
        subscription = await application.subscribe("hyperpage.evt.v1.jobs.>")
        await application.flush()
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(1))
            heard = await subscription.next_msg(timeout=THROUGH_WITHIN_SECONDS)
        await application.close()

        assert (heard.subject, [heard.data]) == ("hyperpage.evt.v1.jobs.k=2E1.enqueued", store.bodies())

    play(scenario, tmp_path)


def test_a_deleted_stream_is_noticed_and_filled_again(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(300)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            # While the relay has nothing to publish, and while it has.
            for count in (0, 5):
                await broker.api.delete(NAMES.events)
                relay.notify(store.append(count))
                await until_stream_holds(broker, store)
            await through(relay, store)

    play(scenario, tmp_path)


def test_it_refills_the_stream_when_asked_to(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(10)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.purge()
            await relay.refill()
            await until_stream_holds(broker, store)

    play(scenario, tmp_path)


def test_a_stream_that_it_makes_anew_says_still_who_serves_the_store(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        report = await broker.api.report(NAMES.events)
        assert report is not None
        await broker.change(metadata={**report.metadata, "hyperpage_incarnation": "7 a"})
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.api.delete(NAMES.events)

            async def is_there_again() -> bool:
                return await broker.api.report(NAMES.events) is not None

            await until(is_there_again)
        report = await broker.api.report(NAMES.events)
        assert report is not None
        assert report.metadata["hyperpage_incarnation"] == "7 a"

    play(scenario, tmp_path)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "then nats-server killed"])
@pytest.mark.parametrize("running", [False, True], ids=["between two relays", "under a relay"])
def test_an_emptied_stream_goes_on_where_it_stood(tmp_path: Path, running: bool, restarted: bool):
    async def scenario(broker: Broker, store: Store):
        async def empty() -> None:
            await broker.purge()
            if restarted:
                await broker.kill()
            await until_connected(broker)

        store.append(20)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            if running:
                await empty()
                relay.notify(store.append(5))
                await through(relay, store)
        if not running:
            await empty()
            store.append(5)
            await relayed(broker, store)

        messages = await broker.messages()
        assert [message.payload for message in messages] == store.bodies(after=20)
        assert messages[0].sequence == 21

    play(scenario, tmp_path)


def test_a_stream_that_aged_out_goes_on_where_it_stood(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.change(max_age=1_000_000_000)
            await until_empty(broker)
            # Its age is an operator's setting, and stays.
            report = await broker.api.report(NAMES.events)
            assert report is not None
            assert report.config["max_age"] == 1_000_000_000
            await broker.change(max_age=0)
            relay.notify(store.append(2))
            await through(relay, store)
        assert await broker.bodies() == store.bodies(after=20)

    play(scenario, tmp_path)


def test_a_stream_that_a_limit_cuts_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.change(max_msgs=5)
            relay.notify(store.append(10))
            await through(relay, store)
        store.append(10)
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies(after=35)

    play(scenario, tmp_path)


def test_a_stream_whose_last_message_was_deleted_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.delete_message(5)
            relay.notify(store.append(2))
            await through(relay, store)
        assert [message.sequence for message in await broker.messages()] == [1, 2, 3, 4, 6, 7]

    play(scenario, tmp_path)


def test_a_stream_that_lacks_its_last_messages_at_a_start_is_filled_anew(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        await relayed(broker, store)
        # As after a power cut: nats-server knows its last sequence, and has lost the last messages.
        await broker.delete_message(4)
        await broker.delete_message(5)
        store.append(2)
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        await relay.prepare(may_delete=True)
        async with running(relay):
            await through(relay, store)
        assert await broker.bodies() == store.bodies()
        assert [message.sequence for message in await broker.messages()] == [1, 2, 3, 4, 5, 6, 7]

    play(scenario, tmp_path)


def test_where_others_may_have_consumers_on_it_such_a_stream_is_told_and_filled_anew_when_asked_to(
    tmp_path: Path,
):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        await relayed(broker, store)
        await broker.delete_message(5)
        store.append(2)
        async with relay_of(broker, store) as relay:
            await until(lambda: "lacked its last messages" in (relay.state.problem or ""))
            assert "hyperpage stream refill" in (relay.state.repair or "")
            assert [message.sequence for message in await broker.messages()] == [1, 2, 3, 4]
            await relay.refill()
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_full_stream_is_a_problem_until_there_is_room(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(3))
            await through(relay, store)
            await broker.change(max_msgs=40, discard="new")
            rows = store.append(100)
            relay.notify(rows)
            await until(lambda: "maximum messages exceeded" in (relay.state.problem or ""))
            state = relay.state
            assert (state.position, state.lag, state.healthy) == (40, 63, False)
            assert state.oldest_unpublished_at == rows[40 - 3].recorded_at

            await broker.change(max_msgs=-1)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_draining_says_whether_everything_went_out(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        relay.notify(store.append(100))
        assert not await relay.drain(1)
        running = asyncio.create_task(relay.run())
        assert await relay.drain(30_000)
        assert await broker.last_sequence() == 100
        relay.stop()
        await running

    play(scenario, tmp_path)


def test_the_metadata_says_what_a_subscriber_needs(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(1)
        await relayed(broker, store)
        report = await broker.api.report(NAMES.events)
        assert report is not None
        return {key: value for key, value in report.metadata.items() if key.startswith("hyperpage_")}

    metadata = play(scenario, tmp_path)

    assert metadata.keys() == {"hyperpage_store_id", "hyperpage_offsets"}
    assert msgspec.json.decode(metadata["hyperpage_offsets"]) == [
        {"timeline": 1, "first_position": 1, "offset": 0}
    ]


async def until_empty(broker: Broker) -> None:
    async with asyncio.timeout(THROUGH_WITHIN_SECONDS):
        while await broker.messages():
            continue


async def until_connected(broker: Broker) -> None:
    await until(lambda: broker.connection.is_connected)


def test_a_stream_that_is_deleted_between_a_look_and_its_settings_asks_for_no_repair(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(3)
        update, told = JetStreamApi.update, list[str | None]()

        async def update_what_is_gone(api: JetStreamApi, config: dict[str, Any]) -> Any:
            if not told:
                told.append(None)
                await api.delete(NAMES.events)
            return await update(api, config)

        failed = Trouble.failed

        def note(trouble: Trouble, error: Exception) -> None:
            failed(trouble, error)
            told.append(trouble.repair)

        with patch.object(JetStreamApi, "update", update_what_is_gone), patch.object(Trouble, "failed", note):
            await relayed(broker, store)
        assert told == [None, None]
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)
