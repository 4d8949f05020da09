"""Portions: durable commands that are decided together, and are suspects together after a crash."""

from pathlib import Path

import pytest

from bus.serving.durable.delivery import Arrived
from bus.serving.durable.portions import MAXIMUM_ARRIVED, PORTION, Portions
from bus.serving.durable.suspects import Suspects

STREAM = 1_700_000_000_000


class Started:
    """The portions of a service, and what the next start finds of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._suspects = Suspects(folder)
        self.portions = Portions(self._suspects)

    def take(self, *sequences: int, stream: int = STREAM, stored_ns: int = 0) -> None:
        for sequence in sequences:
            self.portions.add(
                Arrived(stream, sequence, stored_ns, 1, "subject", "acknowledgement", {}, b"{}")
            )

    def read(self, *, is_busy: bool = False) -> tuple[list[int], int]:
        portion, downs = self.portions.next(is_busy=is_busy)
        return [message.sequence for message in portion], downs

    def goes_down(self) -> "Started":
        self._suspects.close()
        return Started(self._folder)

    def suspected(self, *sequences: int) -> list[int]:
        return [one for one in sequences if self._suspects.downs(STREAM, (one, 0))]


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path)


def test_a_portion_is_what_has_arrived_and_its_messages_are_suspects_until_the_next_one(started: Started):
    started.take(1, 2)
    assert (started.read(), len(started.portions)) == (([1, 2], 0), 0)
    started.take(3, 4)
    assert started.read() == ([3, 4], 0)

    assert started.goes_down().suspected(1, 2, 3, 4) == [3, 4]


def test_a_command_on_the_sequence_of_one_that_the_broker_lost_is_no_suspect(started: Started):
    started.take(1, 2)
    started.read()
    started = started.goes_down()
    started.take(1, 2, stored_ns=1_000)
    assert started.read() == ([1, 2], 0)


def test_a_portion_has_as_many_as_it_may(started: Started):
    started.take(1, 2, 3)
    portion, _ = started.portions.next(is_busy=False, at_most=2)
    assert [one.sequence for one in portion] == [1, 2]
    assert started.read() == ([3], 0)


def test_what_is_read_while_the_writer_has_some_is_suspected_with_it(started: Started):
    started.take(1, 2)
    started.read()
    started.portions.handed_over([(1, 0), (2, 0)])
    started.take(3)
    assert started.portions.may_read(is_busy=True)
    assert started.read(is_busy=True) == ([3], 0)
    started.portions.handed_over([(3, 0)])
    started.take(4)
    started.read(is_busy=True)

    assert started.goes_down().suspected(1, 2, 3, 4) == [3, 4]


def test_no_more_than_one_portion_is_read_beside_the_one_that_the_writer_has(started: Started):
    started.take(*range(PORTION * 3))
    assert len(started.read()[0]) == PORTION
    started.portions.handed_over([(one, 0) for one in range(PORTION)])
    assert started.portions.may_read(is_busy=True)
    started.read(is_busy=True)
    assert not started.portions.may_read(is_busy=True)
    assert started.portions.may_read(is_busy=False)


def test_a_suspect_is_alone_whatever_stands_around_it(started: Started):
    started.take(2)
    started.read()
    started = started.goes_down()
    started.take(1, 2, 3)
    assert started.read() == ([1], 0)
    started.portions.handed_over([(1, 0)])
    assert not started.portions.may_read(is_busy=True)
    assert started.read() == ([2], 1)
    started.portions.handed_over([(2, 0)])
    assert not started.portions.may_read(is_busy=True)

    assert started.goes_down().suspected(1, 2, 3) == [2]


def test_the_sequences_of_two_streams_are_never_marked_together(started: Started):
    started.take(1, 2)
    started.take(1, stream=STREAM + 1)
    assert started.read() == ([1, 2], 0)
    started.portions.handed_over([(1, 0), (2, 0)])
    assert not started.portions.may_read(is_busy=True)
    assert started.read() == ([1], 0)

    assert started.goes_down().suspected(1, 2) == []


def test_no_more_is_asked_for_than_there_is_room(started: Started):
    started.take(*range(MAXIMUM_ARRIVED - 1))
    rooms = [started.portions.has_room]
    started.take(MAXIMUM_ARRIVED)
    rooms.append(started.portions.has_room)
    started.read()
    rooms.append(started.portions.has_room)
    assert rooms == [True, False, True]
    started.portions.clear()
    assert (len(started.portions), started.portions.may_read(is_busy=False)) == (0, False)
