"""The gate's findings about rounds of two copies."""

from tests.benchmarks.core.driving import Measured
from tests.benchmarks.core.loads import Load
from tests.benchmarks.gate import findings_of

LOAD = Load("lean", 64)


def rounds(*figures: tuple[float, float, float]) -> list[Measured]:
    """Rounds with a rate each, and the processor time of client and service."""
    return [
        Measured(rate, 1.0, 2.0, {"client": client, "service": service}) for rate, client, service in figures
    ]


def slower(old: list[Measured], new: list[Measured]) -> set[str]:
    return {one.what.partition(": ")[2] for one in findings_of(LOAD, old, new) if one.is_worse}


def test_the_part_that_takes_more_of_the_processor_is_named():
    old = rounds((1_000, 10, 40), (500, 20, 80), (900, 11, 44))
    new = rounds((1_000, 10, 48), (500, 20, 96), (900, 11, 53))

    assert slower(old, new) == {"µs of the service"}


def test_a_minute_in_which_everything_takes_longer_says_nothing():
    old = rounds((1_000, 10, 40), (250, 30, 120), (1_000, 10, 40))

    assert slower(old, list(old)) == set()


def test_what_is_slower_by_the_clock_alone_is_told_too():
    old = rounds((1_000, 10, 40), (1_000, 10, 40), (1_000, 10, 40))
    new = rounds((800, 10, 40), (810, 10, 40), (790, 10, 40))

    assert slower(old, new) == {"time by the clock"}


def test_a_finding_says_how_much_and_how_sure():
    old, new = rounds((1_000, 10, 40)), rounds((1_000, 10, 50))

    told = [str(one) for one in findings_of(LOAD, old, new)]

    assert "× 1.250" in told[1]
    assert "SLOWER by more than 5% beyond the noise" in told[1]
    assert "SLOWER" not in told[0]
