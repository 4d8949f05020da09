"""The time of a service, which goes on steadily when the machine's clock is changed."""

from hypothesis import given
from hypothesis import strategies as st

from ops.service.steady_clock import HOLD_MS, JUMP_MS, STANDSTILL_MS, SteadyClock
from tests.support.clock import DAY_MS, HOUR_MS, NOW

YEAR_MS = 365 * DAY_MS


class Machine:
    """A clock that can be set, and ticks that cannot."""

    def __init__(self) -> None:
        self.wall, self.ticks = NOW, 5_000
        self.clock = SteadyClock(lambda: self.wall, lambda: self.ticks)

    def passes(self, milliseconds: int) -> int:
        self.wall += milliseconds
        self.ticks += milliseconds
        return self.clock()


def test_time_passes_as_the_machines_does_and_small_corrections_are_followed_at_once():
    machine = Machine()
    assert machine.passes(HOUR_MS) == NOW + HOUR_MS
    machine.wall += JUMP_MS
    assert machine.passes(1) == NOW + HOUR_MS + JUMP_MS + 1
    assert machine.clock.error_ms == 0


def test_what_a_small_jump_there_and_back_has_left_is_made_up_for_in_minutes():
    machine = Machine()
    machine.wall += JUMP_MS
    machine.clock()
    machine.wall -= JUMP_MS
    # Each millisecond, as under load.
    shown = [machine.passes(1) for _ in range(2 * JUMP_MS)]
    assert shown == sorted(shown)
    assert machine.clock.error_ms == 0


def test_a_clock_that_is_a_year_ahead_for_a_while_leaves_no_trace():
    machine = Machine()
    machine.wall += YEAR_MS
    assert machine.passes(HOLD_MS // 2) == NOW + HOLD_MS // 2
    assert machine.clock.error_ms == YEAR_MS
    machine.wall -= YEAR_MS
    assert machine.passes(1) == NOW + HOLD_MS // 2 + 1
    assert machine.clock.error_ms == 0
    # Another jump begins anew.
    machine.wall += YEAR_MS
    assert machine.passes(HOLD_MS // 2) == NOW + HOLD_MS + 1


def test_a_clock_that_stays_ahead_is_believed():
    machine = Machine()
    machine.wall += YEAR_MS
    machine.clock()
    assert machine.passes(HOLD_MS) == NOW + YEAR_MS + HOLD_MS
    assert machine.clock.error_ms == 0


def test_with_a_clock_that_is_far_behind_time_goes_on():
    machine = Machine()
    machine.wall -= YEAR_MS
    assert machine.passes(HOUR_MS) == NOW + HOUR_MS
    assert machine.clock.error_ms == -YEAR_MS


def test_with_a_clock_that_is_a_little_behind_time_stands_still_until_it_has_caught_up():
    machine = Machine()
    machine.wall -= STANDSTILL_MS
    assert [machine.passes(STANDSTILL_MS // 2) for _ in range(3)] == [NOW, NOW, NOW + STANDSTILL_MS // 2]


def test_after_a_start_time_goes_on_from_what_is_stored():
    machine = Machine()
    machine.clock.not_before(NOW + YEAR_MS)
    assert machine.passes(HOUR_MS) == NOW + YEAR_MS + HOUR_MS


@given(
    st.lists(
        st.tuples(
            st.integers(0, HOLD_MS),
            st.one_of(st.just(0), st.integers(-2 * YEAR_MS, 2 * YEAR_MS), st.integers(-90_000, 90_000)),
        )
    )
)
def test_time_never_goes_back_and_goes_on_at_half_its_pace_but_for_moments(
    steps: list[tuple[int, int]],
):
    machine = Machine()
    last = machine.clock()
    for passed, jump in steps:
        machine.wall += jump
        now = machine.passes(passed)
        assert last + passed // 2 - STANDSTILL_MS <= now
        assert last <= now
        last = now
