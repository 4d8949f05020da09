"""Figures from measured rounds: medians, ratios, and the gate's verdict."""

import pytest

from tests.benchmarks.core.figures import Comparison, Figure, percentile, quotients, ratio


def test_a_figure_is_the_median_of_its_rounds_between_the_least_and_the_most():
    assert Figure.of([5.0, 1.0, 3.0]) == (3.0, 1.0, 5.0)
    assert Figure.of([4.0, 2.0]) == (3.0, 2.0, 4.0)
    assert Figure.of([8.0, 10.0, 12.0]).spread == 0.4


def test_a_figure_of_no_rounds_is_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        Figure.of([])


def test_a_ratio_is_taken_round_by_round():
    # The second minute was four times as slow for both.
    assert ratio([50.0, 12.5, 60.0], [100.0, 25.0, 100.0]) == (0.5, 0.5, 0.6)


def test_rounds_without_their_counterpart_are_refused():
    with pytest.raises(ValueError):
        quotients([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("which", "found"), [(0, 1.0), (1, 1.0), (25, 1.0), (50, 2.0), (75, 3.0), (99, 4.0), (100, 4.0)]
)
def test_a_percentile_is_one_of_the_values(which: float, found: float):
    assert percentile([4.0, 2.0, 1.0, 3.0], which) == found


@pytest.mark.parametrize(
    ("quotients", "worse", "better"),
    [
        ([1.10, 1.12, 1.09, 1.11, 1.08], True, False),
        ([0.90, 0.91, 0.92, 0.93, 0.90], False, True),
        # As noisy as the change is large.
        ([1.20, 0.95, 1.30, 0.90, 1.10], False, False),
        # One round that something else disturbed, among those that agree.
        ([1.10, 1.12, 1.09, 1.11, 0.70], True, False),
        ([1.04, 1.04, 1.04, 1.04, 1.04], False, False),
        ([0.96, 0.96, 0.96, 0.96, 0.96], False, False),
    ],
)
def test_a_change_is_told_where_three_quarters_of_the_rounds_agree(
    quotients: list[float], worse: bool, better: bool
):
    found = Comparison(quotients)

    assert found.is_worse(0.05) is worse
    assert found.is_better(0.05) is better
