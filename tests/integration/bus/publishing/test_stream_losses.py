"""Messages that a stream lacks, and the limit that may have removed them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.publishing.relay import Relay
from bus.publishing.stream_losses import LARGEST_MESSAGE_BYTES, lost_at_beginning, lost_between
from hyperpage_client.contract.stream_metadata import BEGINS_AT, Segment
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.jetstream_answers import StreamCounts, StreamReport
from tests.support.clock import NOW
from tests.support.patience import until
from tests.support.stores.relaying import NAMES, Broker, Store, play, relay_of, relayed, running, through

DAY_MS = 86_400_000
DAY_NS = DAY_MS * 1_000_000
SEGMENTS = (Segment(1, 1, 0),)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Ten events, a millisecond apart, of which the stream has the last three, or none."""
    store = Store(tmp_path_factory.mktemp("store") / "hyperpage.db")
    store.append(10)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({}, 7, id="no limit"),
        pytest.param({"max_age": 0, "max_bytes": -1, "max_msgs": -1}, 7, id="no limit, as it is said"),
        pytest.param({"max_msgs": 3}, 0, id="as many as there may be"),
        pytest.param({"max_msgs": 4}, 7, id="fewer than there may be"),
        pytest.param({"max_msgs_per_subject": 1}, 0, id="the newest of each subject"),
        pytest.param({"max_bytes": LARGEST_MESSAGE_BYTES}, 0, id="no room for a large one"),
        pytest.param({"max_bytes": LARGEST_MESSAGE_BYTES + 3_000}, 7, id="room for any other"),
    ],
)
def test_the_first_messages_are_lost_unless_others_have_their_room(
    store: Store, config: dict[str, Any], expected: int
):
    report = report_of(config, first=8)
    assert lost(store, report) == expected


@pytest.mark.parametrize("config", [{"max_msgs": 3}, {"max_msgs_per_subject": 1}, {"max_bytes": 10}])
def test_no_limit_of_its_room_empties_a_stream(store: Store, config: dict[str, int]):
    assert lost(store, report_of(config, first=11)) == 10


@pytest.mark.parametrize(("first", "gone"), [(8, 7), (11, 10)], ids=["some", "all"])
def test_what_is_older_than_is_kept_is_not_lost(store: Store, first: int, gone: int):
    report = report_of({"max_age": DAY_NS}, first=first)
    assert lost(store, report, now_ms=NOW + DAY_MS // 2) == gone
    assert lost(store, report, now_ms=NOW + DAY_MS + 10) == 0


def test_what_limits_had_sent_away_by_an_earlier_start_is_not_missed_though_they_are_wider_now(store: Store):
    assert lost(store, report_of({}, first=8, metadata={BEGINS_AT: "8"})) == 0
    assert lost(store, report_of({}, first=8, metadata={BEGINS_AT: "5"})) == 3
    assert lost(store, report_of({}, first=8, metadata={BEGINS_AT: "no number"})) == 7


def test_a_stream_that_was_never_filled_lacks_nothing(store: Store):
    assert lost(store, StreamReport(config={}, created="", state=StreamCounts())) == 0


def test_messages_that_are_gone_from_between_others_are_lost_unless_each_subject_has_few():
    counts = StreamCounts(messages=8, first_seq=1, last_seq=10, num_deleted=2)
    for config, expected in (({}, True), ({"max_msgs_per_subject": 1}, False)):
        assert lost_between(StreamReport(config=config, created="", state=counts)) is expected


def test_where_others_may_have_consumers_what_was_lost_is_told_and_publishing_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        await relayed(broker, store)
        await broker.purge()
        store.append(2)
        async with relay_of(broker, store) as relay:
            auditing = asyncio.create_task(relay.audit.run())
            await through(relay, store)
            await until(lambda: relay.audit.state.deleted == 5)
            assert await broker.bodies() == store.bodies(after=5)
            await relay.refill()
            await until(lambda: relay.audit.state.deleted == 0)
            await cancel(auditing)

    play(scenario, tmp_path)


def test_a_stream_is_left_as_it_is_when_its_limit_is_taken_away(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async def started() -> None:
            relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
            await relay.prepare(may_delete=True)
            async with running(relay):
                await through(relay, store)

        store.append(20)
        await relayed(broker, store)
        await broker.change(max_msgs=5)
        await started()
        await broker.change(max_msgs=-1)
        store.append(1)
        await started()
        assert await broker.bodies() == store.bodies(after=15)

    play(scenario, tmp_path)


def lost(store: Store, report: StreamReport, now_ms: int = NOW) -> int:
    with store.readers.connection() as connection:
        return lost_at_beginning(connection, report, SEGMENTS, now_ms)


def report_of(config: dict[str, Any], *, first: int, metadata: dict[str, str] | None = None) -> StreamReport:
    """The report of a stream of ten events of which those before `first` are gone."""
    messages = 11 - first
    counts = StreamCounts(messages=messages, bytes=messages * 1_000, first_seq=first, last_seq=10)
    return StreamReport(config={**config, "metadata": metadata or {}}, created="", state=counts)
