"""The rate at which commands come: an average of the last seconds, which begins anew with each writer."""

import pytest

from ops.health.command_rate import RATE_SECONDS, CommandRate


class Flow:
    """Commands that come as time goes by."""

    def __init__(self) -> None:
        self.seconds, self.commands = 1_000.0, 0
        self.rate = CommandRate(lambda: self.commands, lambda: self.seconds)
        self.rate.count()

    def goes_on(self, seconds: int, *, per_second: int) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.commands += per_second
            self.rate.count()


@pytest.fixture
def flow() -> Flow:
    return Flow()


def test_at_first_no_command_has_come(flow: Flow):
    assert flow.rate.per_second == 0


def test_commands_are_averaged_over_the_last_seconds(flow: Flow):
    flow.goes_on(5, per_second=4)
    assert flow.rate.per_second == 4

    flow.goes_on(5, per_second=0)
    assert flow.rate.per_second == 2

    flow.goes_on(int(RATE_SECONDS), per_second=0)
    assert flow.rate.per_second == 0


def test_commands_since_the_last_count_are_in_the_rate(flow: Flow):
    flow.seconds += 2
    flow.commands += 10
    assert flow.rate.per_second == 5


def test_another_writer_begins_anew(flow: Flow):
    flow.goes_on(5, per_second=100)
    flow.commands = 0
    assert flow.rate.per_second == 0
    flow.rate.count()
    flow.goes_on(3, per_second=7)
    assert flow.rate.per_second == 7
