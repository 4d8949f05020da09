"""The end of the log in memory: what it gives back is what was committed, or nothing."""

import pytest

from bus.log import Entry, Head, Row, extend
from bus.log_tail import LogTail


def test_what_was_said_is_given_back():
    tail = LogTail()
    tail.extend(rows(1, 10))

    assert positions(tail.after(0, 3)) == [1, 2, 3]
    assert positions(tail.after(7, 5)) == [8, 9, 10]


def test_behind_the_head_there_is_nothing():
    tail = LogTail()
    assert tail.after(0, 5) == []

    tail.extend(rows(1, 3))
    assert tail.after(3, 5) == []


def test_what_was_never_said_must_be_read():
    tail = LogTail()
    tail.reach(5)
    tail.extend(rows(6, 8))

    assert tail.after(4, 5) is None
    assert positions(tail.after(5, 5)) == [6, 7, 8]


def test_a_gap_forgets_what_was_before_it():
    tail = LogTail()
    tail.extend(rows(1, 3))
    tail.extend(rows(6, 8))

    assert tail.after(2, 5) is None
    assert positions(tail.after(5, 5)) == [6, 7, 8]


def test_what_the_head_has_passed_is_not_taken_twice():
    tail = LogTail()
    tail.extend(rows(1, 3))
    tail.reach(5)
    tail.extend(rows(4, 6))

    assert tail.after(4, 5) is None
    assert positions(tail.after(5, 5)) == [6]
    assert tail.head == 6


def test_the_oldest_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.log_tail.MAXIMUM_ROWS", 4)
    tail = LogTail()
    tail.extend(rows(1, 10))

    assert tail.after(5, 9) is None
    assert positions(tail.after(6, 9)) == [7, 8, 9, 10]


def test_the_oldest_go_where_they_weigh_too_much(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.log_tail.MAXIMUM_BYTES", 25_000)
    tail = LogTail()
    tail.extend(rows(1, 10, size=9_000))

    assert tail.after(7, 9) is None
    assert positions(tail.after(8, 9)) == [9, 10]


def test_what_was_published_is_let_go():
    tail = LogTail()
    tail.extend(rows(1, 10))
    tail.forget(4)

    assert tail.after(3, 9) is None
    assert positions(tail.after(4, 2)) == [5, 6]


def rows(first: int, last: int, *, size: int = 10) -> list[Row]:
    entries = [
        Entry("jobs/1", number, "job.x.v1", None, "x" * size, None) for number in range(first, last + 1)
    ]
    return extend(Head(first - 1), entries, 0)[0]


def positions(found: list[Row] | None) -> list[int]:
    assert found is not None
    return [row.position for row in found]
