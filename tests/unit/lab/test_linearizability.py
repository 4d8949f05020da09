"""The checker of histories, on those of which it is known whether they can be told one after the other."""

from math import inf
from typing import Any

from tests.lab.linearizability import Operation, check
from tests.lab.registers import (
    ABSENT,
    NOTHING,
    Accepted,
    Change,
    Create,
    Found,
    Read,
    Refused,
    Remove,
    Write,
    check_keys,
    step,
)


def told(*operations: tuple[Any, Any, float, float]) -> bool:
    history = [
        Operation(asked=asked, answered=answered, begin=begin, end=end)
        for asked, answered, begin, end in operations
    ]
    return check(history, NOTHING, step).holds


def test_nothing_can_be_told():
    assert told()


def test_what_came_one_after_the_other_is_told_so():
    assert told((Write("a"), Accepted(1), 0, 1), (Read(), Found(1, "a"), 2, 3))


def test_a_read_that_began_behind_a_write_sees_it():
    assert not told((Write("a"), Accepted(1), 0, 1), (Read(), ABSENT, 2, 3))


def test_a_read_that_overlaps_a_write_may_see_it_or_not():
    assert told((Write("a"), Accepted(1), 0, 3), (Read(), ABSENT, 1, 2))
    assert told((Write("a"), Accepted(1), 0, 3), (Read(), Found(1, "a"), 1, 2))


def test_what_one_read_has_seen_no_later_one_misses():
    write = (Write("a"), Accepted(1), 0, 9)
    assert not told(write, (Read(), Found(1, "a"), 1, 2), (Read(), ABSENT, 3, 4))


def test_two_writes_have_two_versions():
    assert not told((Write("a"), Accepted(1), 0, 5), (Write("b"), Accepted(1), 0, 5))
    assert told((Write("a"), Accepted(2), 0, 5), (Write("b"), Accepted(1), 0, 5))


def test_of_two_that_expect_one_version_one_is_refused():
    both = (Write("a", 0), Accepted(1), 0, 5)
    assert told(both, (Write("b", 0), Refused("version_conflict", 1), 0, 5))
    assert not told(both, (Write("b", 0), Accepted(2), 0, 5))


def test_what_nobody_knows_of_may_have_come_at_any_time_or_never():
    unknown = (Write("a"), None, 0, inf)
    assert told(unknown, (Read(), ABSENT, 5, 6))
    assert told(unknown, (Read(), ABSENT, 5, 6), (Read(), Found(1, "a"), 7, 8))
    assert not told(unknown, (Read(), Found(1, "a"), 5, 6), (Read(), ABSENT, 7, 8))


def test_what_nobody_knows_of_does_not_come_before_it_was_asked():
    assert not told((Read(), Found(1, "a"), 0, 1), (Write("a"), None, 2, inf))


def test_a_removed_key_counts_on():
    history = [
        (Create("a"), Accepted(1), 0, 1),
        (Remove(1), Accepted(2), 2, 3),
        (Remove(), ABSENT, 4, 5),
        (Change("b"), ABSENT, 6, 7),
        (Create("b"), Accepted(3), 8, 9),
        (Create("c"), Refused("already_exists"), 10, 11),
    ]
    assert told(*history)
    assert not told(*history[:-2], (Create("b"), Accepted(1), 8, 9))


def test_many_at_once_are_told_soon():
    writes = [(Write(number), Accepted(number + 1), 0.0, 100.0) for number in range(40)]
    reads = [(Read(), Found(number, number - 1), 0.0, 100.0) for number in range(1, 40)]
    assert told(*writes, *reads)


def test_a_long_history_of_two_is_told_soon():
    history = [
        (Write(number), Accepted(number + 1), number * 10.0, number * 10.0 + 12) for number in range(2_000)
    ]
    assert told(*history)
    history[1_000] = (Write(1_000), Accepted(7), 10_000.0, 10_012.0)
    assert not told(*history)


def test_the_verdict_names_what_cannot_be_next():
    verdict = check_keys(
        {
            "good": [Operation(asked=Write("a"), answered=Accepted(1), begin=0, end=1)],
            "bad": [
                Operation(asked=Write("a"), answered=Accepted(1), begin=0, end=1),
                Operation(asked=Read(), answered=ABSENT, begin=2, end=3),
            ],
        }
    )
    assert list(verdict) == ["bad"]
    assert [one.asked for one in verdict["bad"].stuck] == [Read()]
    assert verdict["bad"].states == ((1, "a"),)
    assert "none of these can be next: Read() → Refused(code='not_found'" in str(verdict["bad"])
