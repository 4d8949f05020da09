"""Places in the log, as headers have them."""

import pytest

from bus.contract.log_places import is_for_leader, least_place
from domain.errors import Invalid
from hyperpage_client.contract.headers import MINIMUM_POSITION, POSITION, READ, TIMELINE
from hyperpage_client.contract.log_place import ANY_TIMELINE, LogPlace, place_in


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("1-41872", LogPlace(1, 41872)),
        ("41872", LogPlace(ANY_TIMELINE, 41872)),
        ("0", LogPlace(ANY_TIMELINE, 0)),
        ("3-0", LogPlace(3, 0)),
        ("9223372036854775807", LogPlace(ANY_TIMELINE, 2**63 - 1)),
    ],
)
def test_a_place_that_is_asked_for_is_a_position_with_or_without_its_timeline(written: str, place: LogPlace):
    assert least_place({MINIMUM_POSITION: written}) == place


@pytest.mark.parametrize(
    "written",
    [
        *("", "-1", "+1", "1.5", "1e3", "0x10", "1_000", "one", "1 ", "1\n", "١", "None"),
        *("9223372036854775808", "1-9223372036854775808", "1" * 20, "9" * 5000),
        *("0-5", "-5-5", "1-", "-", "1-2-3", "1--2", "1-a", f"{10**18}-1"),
    ],
)
def test_what_is_no_place_is_refused(written: str):
    with pytest.raises(Invalid) as refused:
        least_place({MINIMUM_POSITION: written})

    assert refused.value.details == {"path": MINIMUM_POSITION}


def test_no_place_has_to_be_asked_for():
    assert least_place(None) is None
    assert least_place({POSITION: "5"}) is None


def test_a_query_is_for_the_leader_or_for_any():
    assert is_for_leader({READ: "leader"})
    assert not is_for_leader({POSITION: "5"})
    for written in ("", "Leader", "follower", "any"):
        with pytest.raises(Invalid) as refused:
            is_for_leader({READ: written})
        assert refused.value.details == {"path": READ}


def test_what_an_answer_says_is_asked_for_and_reached_there():
    place = LogPlace(2, 41872)

    assert place_in(place.headers) == place
    assert least_place({MINIMUM_POSITION: str(place)}) == place
    assert place_in({}) is place_in({POSITION: "5"}) is place_in({POSITION: "?", TIMELINE: "1"}) is None


def test_a_newer_timeline_has_all_of_an_older_one_that_still_counts():
    restored = LogPlace(2, 101)

    assert restored.has(LogPlace(1, 500))
    assert restored.has(LogPlace(2, 101))
    assert not restored.has(LogPlace(2, 102))
    assert not LogPlace(1, 500).has(restored)


def test_a_position_alone_is_meant_in_whatever_timeline():
    assert LogPlace(2, 101).has(LogPlace(ANY_TIMELINE, 101))
    assert not LogPlace(2, 101).has(LogPlace(ANY_TIMELINE, 102))
