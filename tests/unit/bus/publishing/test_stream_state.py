"""The place of a stream in the log, from its last messages: over logs and streams made by hand."""

import msgspec
import pytest

from bus.log.chain import Entry, Head, Row, extend
from bus.log.cloud_events import Origin
from bus.publishing.stream_state import (
    AnotherStoreError,
    DivergedError,
    ForeignMessageError,
    PublishedEvent,
    StreamStanding,
    locate,
    published_event,
    recorded_segments,
)
from hyperpage_client.contract.stream_metadata import Segment, metadata_of
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.jetstream_answers import StoredMessage
from tests.support.stores.cloud_events import cloud_event

STREAM = "HYPERPAGE_EVENTS"


def test_a_new_stream_is_filled_from_the_first_position():
    place = at(timelines=[(1, 1)], head=5, last_sequence=0, segments=[])

    assert (place.next_position, place.segments, place.shared) == (1, (Segment(1, 1, 0),), None)


def test_a_new_stream_gets_every_timeline_of_the_log_at_one_offset():
    place = at(timelines=[(1, 1), (3, 5)], head=9, last_sequence=0, segments=[])

    assert place.segments == (Segment(1, 1, 0), Segment(3, 5, 0))


def test_a_stream_that_lags_goes_on_behind_its_last_event():
    place = at(timelines=[(1, 1)], head=9, last_sequence=4, segments=[(1, 1, 0)], last=(4, 1, 4))

    assert (place.next_position, place.shared) == (5, (4, 4))


@pytest.mark.parametrize("last", [None, (3, 1, 3)], ids=["emptied", "the last message deleted"])
def test_a_stream_whose_end_is_gone_goes_on_where_it_stood(last: tuple[int, int, int] | None):
    place = at(timelines=[(1, 1)], head=9, last_sequence=4, segments=[(1, 1, 0)], last=last)

    assert (place.next_position, place.segments) == (5, (Segment(1, 1, 0),))


def test_a_stream_that_lost_all_its_messages_with_their_count_is_filled_again():
    place = at(timelines=[(2, 1)], head=9, last_sequence=0, segments=[(1, 1, 0), (2, 1, 40)])

    assert (place.next_position, place.segments) == (1, (Segment(2, 1, 0),))


def test_a_restore_continues_behind_history_that_was_given_up():
    place = at(timelines=[(1, 1), (2, 5)], head=6, last_sequence=8, segments=[(1, 1, 0)], last=(8, 1, 8))

    assert place == StreamStanding(8, 5, (Segment(1, 1, 0), Segment(2, 5, 4)), shared=(4, 4))


def test_a_restore_that_the_stream_has_not_come_to_changes_no_offset():
    place = at(timelines=[(1, 1), (2, 5)], head=6, last_sequence=3, segments=[(1, 1, 0)], last=(3, 1, 3))

    assert place == StreamStanding(3, 4, (Segment(1, 1, 0), Segment(2, 5, 0)), shared=(3, 3))


def test_a_restored_stream_goes_on_in_its_timeline():
    segments = [(1, 1, 0), (2, 5, 4)]
    place = at(timelines=[(1, 1), (2, 5)], head=9, last_sequence=10, segments=segments, last=(10, 2, 6))

    assert (place.next_position, place.shared) == (7, (10, 6))
    assert place.segments == (Segment(1, 1, 0), Segment(2, 5, 4))


def test_a_timeline_that_the_log_never_heard_of_was_given_up():
    segments = [(1, 1, 0), (2, 7, 2)]
    place = at(timelines=[(1, 1), (3, 5)], head=9, last_sequence=12, segments=segments, last=(12, 2, 10))

    assert place.segments == (Segment(1, 1, 0), Segment(2, 7, 2), Segment(3, 5, 8))
    assert (place.next_position, place.shared) == (5, (4, 4))


def test_a_timeline_that_was_left_before_it_was_published_to_its_end_is_taken_up_again():
    """Published to 5, restored to 3 (timeline 2), then restored to 8 of timeline 1 from a later backup."""
    segments = [(1, 1, 0), (2, 4, 2)]
    place = at(timelines=[(1, 1), (3, 9)], head=10, last_sequence=7, segments=segments, last=(7, 2, 5))

    assert place.segments == (*map(segment, segments), Segment(1, 6, 2), Segment(3, 9, 2))
    assert (place.next_position, place.shared) == (6, (5, 5))


def test_a_planned_timeline_in_which_nothing_was_published_is_planned_anew():
    """Another restore came before the first one's events went out."""
    planned = [(1, 1, 0), (2, 5, 4)]
    place = at(timelines=[(1, 1), (3, 7)], head=9, last_sequence=8, segments=planned, last=(8, 1, 8))

    assert (place.next_position, place.segments) == (7, (Segment(1, 1, 0), Segment(3, 7, 2)))


@pytest.mark.parametrize(
    ("timelines", "segments", "last"),
    [
        ([(1, 1)], [(1, 1, 0)], (8, 1, 8)),
        ([(1, 1)], [(1, 1, 0)], None),
        ([(1, 1)], [(1, 1, 0), (2, 4, 2)], (8, 2, 6)),
    ],
    ids=["by positions", "by positions that are gone", "by a timeline"],
)
def test_a_stream_ahead_of_the_log_is_refused(timelines, segments, last):
    with pytest.raises(
        DivergedError, match="ahead of the log, which ends at position 5 of timeline 1"
    ) as error:
        at(timelines=timelines, head=5, last_sequence=8, segments=segments, last=last)

    assert "put the newer log back" in error.value.repair


@pytest.mark.parametrize("last", [(5, 1, 4), (5, 2, 5), (5, 1, 6)])
def test_an_event_that_is_not_where_it_belongs_is_refused(last: tuple[int, int, int]):
    with pytest.raises(ForeignMessageError) as error:
        at(timelines=[(1, 1)], head=9, last_sequence=5, segments=[(1, 1, 0)], last=last)

    assert error.value.sequence == 5
    assert "`hyperpage stream refill --yes` deletes HYPERPAGE_EVENTS" in error.value.repair


def test_messages_that_no_segment_accounts_for_are_refused():
    with pytest.raises(DivergedError, match="does not account for"):
        at(timelines=[(1, 1)], head=9, last_sequence=5, segments=[])


def test_metadata_says_again_what_it_was_told():
    segments = (Segment(1, 1, 0), Segment(2, 5, 4))

    assert recorded_segments(STREAM, "a", metadata_of("a", segments), 12) == segments


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        (metadata_of("b", ()), AnotherStoreError),
        ({}, DivergedError),
        ({"hyperpage_store_id": "a", "hyperpage_offsets": "{"}, DivergedError),
        ({"hyperpage_store_id": "a", "hyperpage_foreign_sequence": "12"}, DivergedError),
    ],
    ids=["another store", "nobody's", "damaged", "a foreign message was seen"],
)
def test_metadata_that_is_not_this_stores_is_refused(metadata: dict[str, str], error: type[Exception]):
    with pytest.raises(error):
        recorded_segments(STREAM, "a", metadata, 12)


def test_an_unused_stream_is_taken_over_and_a_lost_foreign_message_is_forgotten():
    assert recorded_segments(STREAM, "a", {}, 0) == ()
    assert (
        recorded_segments(STREAM, "a", {**metadata_of("a", ()), "hyperpage_foreign_sequence": "7"}, 6) == ()
    )


def test_an_event_is_known_again_by_its_message():
    message, row = published()

    assert published_event(BusNames(), "a", message) == PublishedEvent(7, 1, 1, row.hash.hex())


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b"hello"},
        {"payload": b"{}"},
        {"payload": b'"\xff"'},
        {"payload": b'{"specversion":' + b"[" * 20_000 + b"]" * 20_000 + b"}"},
        {"subject": "hyperpage.evt.v1.jobs.2.enqueued"},
    ],
)
def test_a_message_that_is_not_an_event_is_foreign(change):
    message, _ = published()

    with pytest.raises(ForeignMessageError):
        published_event(BusNames(), "a", msgspec.structs.replace(message, **change))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "hyperpage/b"),
        ("id", "1-2"),
        ("sequence", "one"),
        ("type", "hyperpage.job"),
        ("subject", ""),
    ],
)
def test_an_event_that_says_something_else_of_itself_is_foreign(field: str, value: str):
    message, _ = published()
    event = {**msgspec.json.decode(message.payload), field: value}

    with pytest.raises(ForeignMessageError):
        published_event(BusNames(), "a", msgspec.structs.replace(message, payload=msgspec.json.encode(event)))


def at(
    *, timelines, head: int, last_sequence: int, segments, last: tuple[int, int, int] | None = None
) -> StreamStanding:
    """`segments` are (timeline, first position, offset), `last` is (sequence, timeline, position)."""
    return locate(
        STREAM,
        Origin("a", tuple(timelines)),
        head,
        last_sequence=last_sequence,
        segments=[segment(one) for one in segments],
        last=last and PublishedEvent(last[0], last[1], last[2], ""),
    )


def segment(numbers: tuple[int, int, int]) -> Segment:
    return Segment(*numbers)


def published() -> tuple[StoredMessage, Row]:
    (row,), _ = extend(Head(), [Entry("jobs/1", 1, "job.enqueued.v1", None, "{}", None)], 0)
    return StoredMessage(7, "hyperpage.evt.v1.jobs.1.enqueued", cloud_event(Origin("a"), row)), row
