"""Durable commands get the time that requests leave, and always some."""

import pytest

from bus.serving.durable.pace import LONGEST_PAUSE_SECONDS, PAUSE, SMALL_PORTION, Pace
from bus.serving.durable.portions import PORTION


class Pacing:
    """Portions by a clock of their own, and requests that come meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.requests = 1_000
        self.pace = Pace(lambda: self.requests, lambda: self.now)

    def portion(self, *, requests: int, seconds: float = 0.01) -> float:
        """The pause after a portion."""
        self.pace.begin(self.pace.portion)
        self.now += seconds
        self.requests += requests
        return self.pace.end()


def test_without_requests_there_are_no_pauses_and_portions_are_large():
    pacing = Pacing()
    assert [pacing.portion(requests=0) for _ in range(3)] == [0, 0, 0]
    assert pacing.pace.portion == PORTION


def test_while_requests_come_portions_are_small_and_have_a_quarter_of_the_time():
    pacing = Pacing()
    pacing.portion(requests=1)
    assert pacing.pace.portion == SMALL_PORTION
    for requests in (SMALL_PORTION, 100 * SMALL_PORTION):
        assert pacing.portion(requests=requests) == pytest.approx(0.01 * PAUSE)


def test_few_requests_lead_to_short_pauses():
    pacing = Pacing()
    pacing.portion(requests=1)
    assert pacing.portion(requests=SMALL_PORTION // 4) == pytest.approx(0.01 * PAUSE / 4)


def test_what_came_in_the_pause_counts_as_well():
    pacing = Pacing()
    pacing.portion(requests=1)
    pacing.requests += SMALL_PORTION
    assert pacing.portion(requests=0) == pytest.approx(0.01 * PAUSE)


def test_when_no_more_come_it_is_as_before():
    pacing = Pacing()
    pacing.portion(requests=PORTION)
    assert pacing.portion(requests=0) == 0
    assert pacing.pace.portion == PORTION


def test_no_pause_is_long_however_long_a_portion_took():
    pacing = Pacing()
    assert pacing.portion(requests=PORTION, seconds=60) == LONGEST_PAUSE_SECONDS
