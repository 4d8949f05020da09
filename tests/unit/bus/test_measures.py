"""Histograms and tallies of commands add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.measures import Few, Histogram, Tally


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_a_histogram_counts_each_value_once_up_to_every_bound_that_is_not_below_it(values: list[float]):
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    cumulated = dict(histogram.cumulated())
    for bound in (0.5, 1.0, 10.0):
        assert cumulated[f"{bound:g}"] == sum(value <= bound for value in values)
    assert cumulated["+Inf"] == histogram.count == len(values)
    # Python 3.12 and newer round their sums less.
    assert histogram.sum == pytest.approx(sum(values))


def test_a_tally_takes_in_another_and_may_call_its_outcomes_by_another_name():
    tally, group = Tally(), Tally()
    tally.add("jobs.enqueue", "accepted")
    group.add("jobs.enqueue", "accepted", 2)
    group.add("jobs.claim", "busy")
    tally.add_all(group)
    tally.add_all(group.replace("unavailable"))
    assert dict(tally) == {
        ("jobs.enqueue", "accepted"): 3,
        ("jobs.enqueue", "unavailable"): 2,
        ("jobs.claim", "busy"): 1,
        ("jobs.claim", "unavailable"): 1,
    }


def test_so_many_names_are_told_apart_and_each_stays_what_it_was():
    few = Few(2)
    assert few.named("a", "b") == ("a", "b")
    assert few.named("c", "d") == ("c", "d")
    assert few.named("e", "f") == ("(other)", "(other)")
    assert few.named("c", "d") == ("c", "d")
