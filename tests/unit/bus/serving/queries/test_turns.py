"""Queries have their turn soon, or are refused as busy: first those of the senders that ask most."""

import pytest

from bus.serving.queries.turns import SHARES_NS, Turns
from bus.writing.waiting import BURST_COMMANDS, BUSY_AFTER_MS, CALM_SECONDS
from domain.errors import Busy

MILLISECOND = 1_000_000
LATE_MS = BUSY_AFTER_MS + 1


class Asking:
    """Queries by a clock of its own."""

    def __init__(self, busy_after_ms: int = BUSY_AFTER_MS) -> None:
        self.now = 0
        self.turns = Turns(busy_after_ms, lambda: self.now)

    def ask(self, sender: str, count: int = 1, *, waited_ms: int = 0, needs_thread: bool = False) -> int:
        """How many of these queries are not refused."""
        answered = count
        for _ in range(count):
            try:
                self.turns.require(sender, self.now - waited_ms * MILLISECOND, needs_thread=needs_thread)
            except Busy:
                answered -= 1
        return answered

    def later(self, milliseconds: float) -> None:
        self.now += round(milliseconds * MILLISECOND)


@pytest.fixture
def overloaded() -> Asking:
    asking = Asking()
    asking.ask("flood", BURST_COMMANDS, waited_ms=LATE_MS)
    assert asking.ask("flood", waited_ms=LATE_MS) == 0
    return asking


def test_what_has_waited_too_long_when_it_is_read_is_busy(overloaded: Asking):
    assert overloaded.ask("flood", 10, waited_ms=LATE_MS) == 0
    assert overloaded.turns.has_turned_away_within(1)
    assert overloaded.ask("flood", 10, waited_ms=BUSY_AFTER_MS) == 10
    with pytest.raises(Busy) as refusal:
        overloaded.turns.require("flood", overloaded.now - LATE_MS * MILLISECOND)
    assert refusal.value.details["retry_after_ms"] == BUSY_AFTER_MS


def test_so_is_what_needs_a_thread_while_others_wait_for_one_for_too_long(overloaded: Asking):
    number = overloaded.turns.wait(overloaded.now)
    overloaded.later(BUSY_AFTER_MS)
    assert overloaded.ask("flood", needs_thread=True) == 1
    overloaded.later(1)
    assert overloaded.ask("flood", needs_thread=True) == 0
    assert overloaded.ask("flood") == 1
    overloaded.turns.end_wait(number)
    # Ending the wait of a query that has already given up changes nothing.
    overloaded.turns.end_wait(number)
    assert overloaded.turns.waiting == 0
    assert overloaded.ask("flood", needs_thread=True) == 1


def test_a_burst_is_answered_however_long_it_takes():
    asking = Asking()
    assert asking.ask("burst") == 1
    assert asking.ask("burst", 2 * BURST_COMMANDS, waited_ms=LATE_MS) == BURST_COMMANDS - 1


def test_an_overload_is_no_burst_again_until_it_was_calm_for_a_while(overloaded: Asking):
    overloaded.ask("flood")
    assert overloaded.ask("flood", 10, waited_ms=LATE_MS) == 0
    overloaded.later(CALM_SECONDS * 1_000)
    overloaded.ask("flood")
    assert overloaded.ask("flood", 10, waited_ms=LATE_MS) == 10


def test_who_asks_less_than_others_is_answered(overloaded: Asking):
    for _ in range(4):
        assert overloaded.ask("other", 10, waited_ms=LATE_MS) == 10
        assert overloaded.ask("flood", 100, waited_ms=LATE_MS) == 0
        overloaded.later(SHARES_NS / MILLISECOND / 2)
    for _ in range(2):
        overloaded.later(SHARES_NS / MILLISECOND + 1)
        overloaded.ask("other", 10)
    assert overloaded.ask("flood", 10, waited_ms=LATE_MS) == 10
    assert overloaded.ask("other", 10, waited_ms=LATE_MS) == 0


def test_without_a_bound_all_wait():
    asking = Asking(busy_after_ms=0)
    assert asking.ask("flood", 2 * BURST_COMMANDS, waited_ms=10**6) == 2 * BURST_COMMANDS
