import sys
from typing import Any

import msgspec
import pytest

from bus.writing.hot_states import HotStates
from domain.app_state import Entry
from domain.decider import ABSENT, Aggregate
from domain.jobs.events import Progressed
from domain.jobs.limits import MAXIMUM_DEPENDENCIES, MAXIMUM_RETRY_DELAYS, MAXIMUM_TAGS
from domain.jobs.retries import JobRetry
from tests.support.domain.given_when_then import given
from tests.support.domain.job_states import enqueued

MEGABYTE = 1_000_000


def job(payload_bytes: int = 0) -> Aggregate:
    payload = msgspec.Raw(b'{"a":"' + b"x" * payload_bytes + b'"}')
    return Aggregate(1, 1, given(enqueued(payload=payload)).state("jobs"))


def test_of_more_states_than_there_is_room_for_those_used_last_stay():
    hot = HotStates(2, MEGABYTE)
    for stream in "abc":
        hot.put(stream, ABSENT)
    hot.get("a")
    assert len(hot) == 3

    hot.shrink()

    assert [stream for stream in "abc" if stream in hot] == ["a", "c"]


def test_heavy_states_go_long_before_there_are_too_many():
    hot = HotStates(1_000, MEGABYTE)
    for number in range(100):
        hot.put(str(number), job(200_000))
        hot.shrink()

    assert len(hot) == 4
    assert hot.size_bytes <= MEGABYTE


def test_one_state_that_is_too_heavy_alone_does_not_stay():
    hot = HotStates(10, MEGABYTE)
    hot.put("a", job(2 * MEGABYTE))
    hot.shrink()

    assert (len(hot), hot.size_bytes) == (0, 0)


def test_a_state_that_changes_is_weighed_anew():
    hot = HotStates(10, MEGABYTE)
    hot.put("a", job(500_000))
    hot.put("a", job(10))
    hot.put("b", Aggregate(1, 1, Entry(key="k", value=msgspec.Raw(b"1"), version=1, updated_at=1)))

    assert hot.size_bytes < 10_000
    hot.shrink()
    assert len(hot) == 2


def size_of(value: Any) -> int:
    """The bytes of memory that a value and its parts take."""
    if isinstance(value, msgspec.Raw):
        return len(bytes(value))
    parts: tuple[Any, ...] = value if isinstance(value, tuple) else ()
    if isinstance(value, msgspec.Struct):
        parts = msgspec.structs.astuple(value)
    return sys.getsizeof(value) + sum(map(size_of, parts))


def keys(count: int, length: int) -> tuple[str, ...]:
    return tuple(f"{number:0{length}}" for number in range(count))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {
            "depends_on": keys(MAXIMUM_DEPENDENCIES, 200),
            "waiting_for": keys(MAXIMUM_DEPENDENCIES, 199),
        },
        {"tags": keys(MAXIMUM_TAGS, 100)},
        {"tags": keys(MAXIMUM_TAGS, 2)},
        {"retry": JobRetry(delays_ms=tuple(range(1_000, 1_000 + MAXIMUM_RETRY_DELAYS)))},
        {"progress": Progressed(note="n" * 1_000)},
        {"error": "e" * 10_000, "traceback": "t" * 10_000},
        {"error": "界" * 10_000, "traceback": "😀" * 10_000},
        {"tags": ("界" * 100,) * MAXIMUM_TAGS},
        {"result": msgspec.Raw(b"r" * 10_000)},
    ],
    ids="-".join,
)
def test_a_job_weighs_about_what_it_takes_in_memory_whatever_is_large_in_it(parts: dict[str, Any]):
    state = msgspec.structs.replace(job().state, **parts)
    hot = HotStates(1, MEGABYTE)
    hot.put("a", Aggregate(1, 1, state))
    hot.shrink()

    assert size_of(state) / 2 < hot.size_bytes < size_of(state) * 2
