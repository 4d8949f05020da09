"""A stream whose settings another client has edited: the relay mends it, or names the command that does."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hyperpage_client.contract.stream_metadata import OFFSETS, STORE_ID
from tests.support.patience import until
from tests.support.stores.relaying import (
    NAMES,
    Broker,
    Store,
    play,
    relay_of,
    through,
    until_stream_holds,
)


async def edit_metadata(broker: Broker, **changes: str | None) -> None:
    report = await broker.api.report(NAMES.events)
    assert report is not None
    metadata = {key: value for key, value in (report.metadata | changes).items() if value is not None}
    await broker.change(metadata=metadata)


@pytest.mark.parametrize(
    "changes",
    [
        {STORE_ID: None},
        {STORE_ID: "another"},
        {OFFSETS: None},
        {OFFSETS: "no JSON"},
        {OFFSETS: '[{"timeline":1,"first_position":1,"offset":3}]'},
        {OFFSETS: '[{"timeline":7,"first_position":1,"offset":0}]'},
    ],
    ids=["no store", "another store", "no offsets", "broken offsets", "other offsets", "another timeline"],
)
def test_edited_metadata_stop_the_relay_and_a_refill_mends_them(
    tmp_path: Path, changes: dict[str, str | None]
):
    async def scenario(broker: Broker, store: Store):
        store.append(10)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await edit_metadata(broker, **changes)
            relay.notify(store.append(5))
            await until(lambda: not relay.state.healthy and relay.state.repair)
            assert relay.is_of_this_log
            assert await broker.last_sequence() <= 15
            await relay.refill()
            await until_stream_holds(broker, store)
            await through(relay, store)

    play(scenario, tmp_path)


@pytest.mark.parametrize(
    "edited",
    [
        {"no_ack": True},
        {"max_msg_size": 20},
        {"subjects": ["hyperpage.evt.v1.jobs.>"]},
        {"republish": None},
        {"sources": [{"name": "OTHER"}]},
        {"deny_delete": True, "deny_purge": True},
    ],
    ids=["no answers", "small messages", "other subjects", "no live events", "a source", "nothing goes"],
)
def test_settings_that_it_needs_are_put_right(tmp_path: Path, edited: dict[str, Any]):
    async def scenario(broker: Broker, store: Store):
        other = {"name": "OTHER", "subjects": ["other.>"], "storage": "file"}
        await broker.api.create(other)
        store.append(10)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.change(**edited)
            relay.notify(store.append(5))
            await through(relay, store)
        assert await broker.bodies() == store.bodies()

    play(scenario, tmp_path)


def test_a_sealed_stream_is_told_and_a_refill_mends_it(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(10)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.change(sealed=True)
            relay.notify(store.append(5))
            await until(lambda: "is sealed" in (relay.state.problem or ""))
            assert "hyperpage stream refill --yes" in (relay.state.repair or "")
            await relay.refill()
            await until_stream_holds(broker, store)
            await through(relay, store)
        # Another one that comes meanwhile serves, too.
        await broker.change(sealed=True)
        async with relay_of(broker, store) as relay:
            await until(lambda: "is sealed" in (relay.state.problem or ""))

    play(scenario, tmp_path)


def test_a_stream_that_mirrors_another_one_is_told_and_a_refill_mends_it(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(10)
        async with relay_of(broker, store) as relay:
            await through(relay, store)
            await broker.api.create({"name": "OTHER", "subjects": ["other.>"], "storage": "file"})
            await broker.api.delete(NAMES.events)
            mirroring = {"name": NAMES.events, "mirror": {"name": "OTHER"}, "storage": "file"}
            await broker.connection.request(
                f"$JS.API.STREAM.CREATE.{NAMES.events}", msgspec.json.encode(mirroring), timeout=30
            )
            await until(lambda: "stream refill --yes" in (relay.state.repair or ""))
            await relay.refill()
            await until_stream_holds(broker, store)

    play(scenario, tmp_path)
