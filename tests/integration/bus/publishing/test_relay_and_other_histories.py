"""The relay before a stream that does not follow from the log: it is told apart, and nothing is published."""

import asyncio
from pathlib import Path

import pytest

from bus.publishing.relay import Relay
from bus.publishing.stream_state import AnotherStoreError, OtherHistoryError
from bus.transport.jetstream import JetStreamError
from tests.support.patience import until
from tests.support.stores.cloud_events import cloud_event
from tests.support.stores.relaying import NAMES, Broker, Store, play, relay_of, relayed, running, through


@pytest.mark.parametrize("deleted", [False, True], ids=["", "which is deleted"])
@pytest.mark.parametrize("running", [False, True], ids=["between two relays", "under a relay"])
def test_behind_a_foreign_message_nothing_is_published(tmp_path: Path, running: bool, deleted: bool):
    async def scenario(broker: Broker, store: Store):
        async def intrude() -> None:
            # Through the relay user, as no other user may.
            subject = "hyperpage.evt.v1.jobs.1.forged"
            await broker.connection.request(subject, b"{}", timeout=30)

        store.append(5)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            if running:
                await intrude()
        if not running:
            await intrude()
        async with relay_of(broker, store) as relay:
            relay.notify(store.append(1))
            await until(lambda: "message 6" in (relay.state.problem or ""))
            if deleted:
                await broker.delete_message(6)
                await until(lambda: "was not an event" in (relay.state.problem or ""))
        # A new relay finds the same problem.
        async with relay_of(broker, store) as relay:
            await until(lambda: "message 6" in (relay.state.problem or ""))
            assert "hyperpage stream refill --yes" in (relay.state.repair or "")
            assert await broker.last_sequence() == 6

            await broker.api.delete(NAMES.events)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_log_that_was_set_back_behind_the_stream_publishes_nothing(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        taken = store.set_back(5)
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        with pytest.raises(OtherHistoryError, match="ahead of the log"):
            await relay.prepare()
        async with running(relay):
            with pytest.raises(OtherHistoryError, match="ahead of the log"):
                await relay.parted()
            assert not relay.is_of_this_log
            assert not await relay.drain(30_000)
            assert "put the newer log back" in (relay.state.repair or "")
            store.put_back(taken)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_log_with_another_past_publishes_nothing(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        store.set_back(5)
        store.append(10)
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        with pytest.raises(OtherHistoryError, match="hashes differ"):
            await relay.prepare()
        async with running(relay):
            with pytest.raises(OtherHistoryError, match="hashes differ"):
                await relay.parted()
            assert await broker.last_sequence() == 9
            await broker.api.delete(NAMES.events)
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_restored_log_goes_on_behind_the_history_it_gave_up(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        given_up = store.bodies(after=5)
        store.restore(5, timeline=2)
        store.append(3)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            relay.notify(store.append(1))
            await through(relay, store)
        kept, new = store.bodies()[:5], store.bodies(after=5)

        messages = await broker.messages()
        assert [message.payload for message in messages] == [*kept, *given_up, *new]
        assert [message.headers["Nats-Msg-Id"] for message in messages[8:11]] == ["1-9", "2-6", "2-7"]
        assert await broker.offsets() == [(1, 1, 0), (2, 6, 4)]

        # The events that were given up do not come back.
        await broker.api.delete(NAMES.events)
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies()
        assert await broker.offsets() == [(1, 1, 0), (2, 6, 0)]

    play(scenario, tmp_path)


def test_a_log_restored_twice_while_nobody_published_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        store.restore(7, timeline=2)
        store.append(5)
        store.restore(10, timeline=3)
        await broker.purge()
        await relayed(broker, store)
        assert await broker.bodies() == store.bodies(after=7)
        assert await broker.offsets() == [(1, 1, 0), (2, 8, 2), (3, 11, 2)]

    play(scenario, tmp_path)


def test_a_restored_log_that_never_was_this_streams_publishes_nothing(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        # A copy of the store that has other events, and was restored afterwards.
        store.set_back(2)
        store.append(7)
        store.restore(6, timeline=2)
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        with pytest.raises(OtherHistoryError, match=r"event 1-6 .* hashes differ"):
            await relay.prepare()
        assert await broker.last_sequence() == 9


def test_a_log_that_was_changed_after_it_was_written_is_no_other_history(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        store.forge(9, data='{"n":0}')
        async with relay_of(broker, store) as relay:
            # Only the data of the row was changed: its hash still matches the published event.
            await through(relay, store)
        store.forge(9, hash=b"x" * 32)
        async with relay_of(broker, store) as relay:
            await until(lambda: "was changed after it was written" in (relay.state.problem or ""))
            assert "hyperpage doctor" in (relay.state.repair or "")
            assert relay.is_of_this_log

    play(scenario, tmp_path)


@pytest.mark.parametrize("column", ["data", "hash"])
def test_a_log_that_is_damaged_holds_the_relay_up_and_ends_nothing(tmp_path: Path, column: str):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        if column == "data":
            store.damage_text(9)
        else:
            store.empty(9, column)
        async with relay_of(broker, store) as relay:
            await until(lambda: "an event that cannot be read" in (relay.state.problem or ""))
            assert "hyperpage doctor" in (relay.state.repair or "")
            assert relay.is_of_this_log

    play(scenario, tmp_path)


def test_a_restore_that_gave_up_what_was_published_is_no_other_history(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        for timeline, position in ((2, 5), (3, 0)):
            store.restore(position, timeline=timeline)
            async with relay_of(broker, store) as relay:
                await through(relay, store)
                assert relay.is_of_this_log

    play(scenario, tmp_path)


def test_the_stream_of_another_store_is_refused_before_anything_is_served(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(3)
        await relayed(broker, store)
        before = await broker.messages()
        other = Store(tmp_path / "other" / "hyperpage.db", "store-2")
        other.append(5)
        relay = Relay(broker.connection, NAMES, other.origin, other.readers.connection)
        with pytest.raises(AnotherStoreError, match="belongs to the store store-1, and this one is store-2"):
            await relay.prepare()

        # A relay that runs without that check publishes nothing to that stream, either.
        running = asyncio.create_task(relay.run())
        await until(lambda: "belongs to the store store-1" in (relay.state.problem or ""))
        relay.stop()
        await running
        other.close()
        assert await broker.messages() == before

    play(scenario, tmp_path)


def test_an_empty_stream_that_somebody_made_is_taken_over(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        await broker.connection.jetstream().add_stream(
            name=NAMES.events, subjects=["hyperpage.evt.v1.>"], description="ours", max_msgs=1_000
        )
        store.append(3)
        await relayed(broker, store)
        report = await broker.api.report(NAMES.events)
        assert report is not None
        assert (report.config["description"], report.config["max_msgs"]) == ("ours", 1_000)
        assert report.config["republish"]["dest"] == NAMES.live_events
        assert report.metadata["hyperpage_store_id"] == "store-1"
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_stream_with_messages_that_nobody_owns_is_left_alone(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        jetstream = broker.connection.jetstream()
        await jetstream.add_stream(name=NAMES.events, subjects=["hyperpage.evt.v1.>"])
        rows = store.append(3)
        await jetstream.publish("hyperpage.evt.v1.jobs.k=2E1.enqueued", cloud_event(store.origin, rows[0]))
        async with relay_of(broker, store) as relay:
            await until(lambda: "was not made by this program" in (relay.state.problem or ""))
        assert await broker.last_sequence() == 1

    play(scenario, tmp_path)


def test_a_nats_server_without_an_answer_is_an_error_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bus.publishing.relay.PREPARE_TIMEOUT_MS", 100)
    monkeypatch.setattr("bus.publishing.relay.LONGEST_RETRY_MS", 50)

    async def scenario(broker: Broker, store: Store):
        await broker.server.stop()
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        with pytest.raises(JetStreamError):
            await relay.prepare()

    play(scenario, tmp_path)


def test_a_missing_event_in_the_log_stops_the_relay(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        taken = store.set_back(3)
        store.put_back(taken[1:])
        async with relay_of(broker, store) as relay:
            problem = "no event at one of the positions after 3"
            await until(lambda: relay.state.position == 3 and problem in (relay.state.problem or ""))
        assert await broker.last_sequence() == 3

    play(scenario, tmp_path)
