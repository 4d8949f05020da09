"""Events as SQLite makes them, against the same made in Python."""

from collections.abc import Iterator
from itertools import pairwise

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.log import chain
from bus.log.cloud_events import Origin, scan_events, stream_events
from bus.publishing.event_messages import MAXIMUM_BYTES, EventEncoder
from domain.messages import KEY_PATTERN, Metadata
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport import protocol
from migrations import runner
from migrations.connection import open_memory
from tests.support.stores.cloud_events import cloud_event

NAMES = BusNames(prefix="acme.pages")
REPLY = "_INBOX_relay.1.2"

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_entries = st.lists(
    st.builds(
        chain.Entry,
        stream=st.tuples(st.sampled_from(["jobs", "app_state"]), st.from_regex(KEY_PATTERN)).map("/".join),
        version=st.just(0),
        type=st.sampled_from(["job.enqueued.v1", "app_state.changed.v12", "rate_limit.observed.v2"]),
        command_id=st.none() | _texts,
        data=st.none()
        | st.binary(max_size=5)
        | st.dictionaries(_texts, _texts, max_size=3).map(lambda data: msgspec.json.encode(data).decode()),
        metadata=st.none()
        | st.builds(
            Metadata,
            actor=st.none() | _texts,
            correlation_id=st.none() | _texts,
            causation_id=st.none() | _texts,
            traceparent=st.none() | _texts,
        ).map(lambda metadata: msgspec.json.encode(metadata).decode()),
    ),
    min_size=1,
    max_size=12,
)
_times = st.integers(0, 253_402_300_799_999)
_timelines = st.sampled_from([((1, 1),), ((1, 1), (2, 3)), ((1, 1), (4, 2), (5, 6))])
_stores = st.builds(Origin, st.uuids().map(str), _timelines)


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = open_memory()
    runner.up(connection)
    yield connection
    connection.close()


def stored(connection: apsw.Connection, entries: list[chain.Entry], now: int) -> list[chain.Row]:
    connection.execute("DELETE FROM events")
    numbered = [msgspec.structs.replace(entry, version=number) for number, entry in enumerate(entries, 1)]
    rows, _ = chain.extend(chain.Head(), numbered, now)
    chain.insert(connection, rows)
    return rows


@given(entries=_entries, now=_times, origin=_stores)
def test_an_event_is_the_same_wherever_it_is_read(
    connection: apsw.Connection, entries: list[chain.Entry], now: int, origin: Origin
):
    rows = stored(connection, entries, now)
    expected = [(row.position, cloud_event(origin, row)) for row in rows]

    assert list(scan_events(connection, origin, 0, streams="*", limit=100)) == expected
    first = rows[0]
    same = [(row.version, cloud_event(origin, row)) for row in rows if row.stream == first.stream]
    assert list(stream_events(connection, origin, first.stream, 0)) == same


@given(
    entries=_entries,
    now=_times,
    origin=_stores,
    offset=st.integers(0, 1_000),
    first=st.integers(1, 12),
    most=st.integers(1, 20),
)
def test_messages_are_the_ones_that_python_would_send(
    connection: apsw.Connection,
    entries: list[chain.Entry],
    now: int,
    origin: Origin,
    offset: int,
    first: int,
    most: int,
):
    rows = stored(connection, entries, now)
    encoder = EventEncoder(NAMES, origin)
    first = min(first, len(rows))
    position = first - 1
    while messages := encoder.read(connection, position, offset=offset, first=first, reply=REPLY, most=most):
        chunk = rows[position : messages.last]
        assert messages.count == len(chunk) <= most
        expected = [message(origin, row, offset, first, REPLY if row is chunk[-1] else "") for row in chunk]
        assert messages.encoded == b"".join(expected)
        position = messages.last
    assert position == len(rows)


def message(origin: Origin, row: chain.Row, offset: int, first: int, reply: str) -> bytes:
    body = cloud_event(origin, row)
    headers = {
        "Nats-Msg-Id": origin.event_id(row.position),
        "Nats-Expected-Last-Sequence": str(row.position - 1 + offset),
    }
    if row.position != first:
        headers["Nats-Expected-Last-Msg-Id"] = origin.event_id(row.position - 1)
    head = protocol.head(NAMES.event(row.stream, row.type), reply, len(body), headers)
    # Without a reply subject, its place in the line may be left out or empty.
    return head.replace(b"  ", b" ", 1) + body + protocol.CRLF


def test_large_events_go_out_few_at_a_time(connection: apsw.Connection):
    sizes = [10, MAXIMUM_BYTES // 3, MAXIMUM_BYTES // 3, MAXIMUM_BYTES, 10, 2 * MAXIMUM_BYTES, *[10] * 5]
    entries = [
        chain.Entry(f"jobs/{number}", 0, "job.enqueued.v1", None, f'"{"x" * size}"', None)
        for number, size in enumerate(sizes)
    ]
    stored(connection, entries, 0)
    encoder = EventEncoder(NAMES, Origin("a"))
    ends = [0]
    while messages := encoder.read(connection, ends[-1], offset=0, first=1, reply=REPLY):
        ends.append(messages.last)

    assert ends[-1] == len(sizes)
    for after, last in pairwise(ends):
        assert last == after + 1 or sum(sizes[after:last]) <= MAXIMUM_BYTES


def test_a_missing_position_shows_in_the_count(connection: apsw.Connection):
    entries = [chain.Entry(f"jobs/{n}", 0, "job.enqueued.v1", None, "{}", None) for n in range(5)]
    stored(connection, entries, 0)
    connection.execute("DELETE FROM events WHERE position = 3")

    encoder = EventEncoder(NAMES, Origin("a"))

    messages = encoder.read(connection, 0, offset=0, first=1, reply=REPLY)
    assert messages is not None
    assert (messages.last, messages.count) == (5, 4)
    # In the middle of a long log, too, where there would be more events to fill it up with.
    messages = encoder.read(connection, 0, offset=0, first=1, reply=REPLY, most=3)
    assert messages is not None
    assert (messages.last, messages.count) == (4, 3)
