"""Figures in a report are written as people read them, and axes have round places."""

import pytest

from ops.analytics.report import units
from ops.analytics.report.period import Period, read_moment

MONDAY = 1_791_158_400_000  # 5 October 2026, 00:00 UTC


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [
        (0, "0"),
        (7, "7 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (34_567, "34.6 s"),
        (59_960, "60 s"),
        (60_000, "1 min"),
        (70_400, "1 min 10 s"),
        (3_599_900, "1 h"),
        (3_660_000, "1 h 1 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_written_in_two_units_at_most(milliseconds: int, written: str):
    assert units.duration(milliseconds) == written


def test_an_axis_ends_on_a_round_number_that_is_not_below_the_highest_value():
    assert units.round_ticks(2_820) == [0, 1_000, 2_000, 3_000]
    assert units.round_ticks(0) == [0, 1]
    assert units.whole_ticks(3) == [0, 1, 2, 3]
    assert units.duration_ticks(490_000) == [0, 120_000, 240_000, 360_000, 480_000, 600_000]
    assert units.logarithmic_ticks(1_300, 233_000) == [1_000, 10_000, 60_000, 600_000]
    assert units.logarithmic_ticks(1, 10**11)[-1] >= 10**11


def test_a_period_is_cut_into_stretches_that_cover_it_and_begin_at_round_times():
    for hours in (1, 5, 48, 24 * 30, 24 * 365 * 3):
        period = Period(MONDAY + 1, MONDAY + hours * units.HOUR)
        begins = list(period.begins())
        assert len(begins) <= 61
        assert begins[0] <= period.since < begins[1]
        assert begins[-1] < period.until <= begins[-1] + period.bucket_ms
        assert all(begin == units.begin_of(begin, period.bucket_ms) for begin in begins)


def test_weeks_begin_on_mondays():
    assert units.begin_of(MONDAY + 6 * units.DAY + 1, 7 * units.DAY) == MONDAY


def test_the_first_tick_of_a_day_has_its_date():
    ticks = units.time_ticks(MONDAY, MONDAY + 2 * units.DAY, 8)

    assert [(time, date) for _, time, date in ticks] == [
        ("00:00", "Mon 5 Oct"), ("06:00", ""), ("12:00", ""), ("18:00", ""),
        ("00:00", "Tue 6 Oct"), ("06:00", ""), ("12:00", ""), ("18:00", ""),
    ]  # fmt: skip


def test_a_moment_without_a_zone_is_meant_in_utc_and_an_age_counts_back():
    assert read_moment("2026-10-05") == read_moment("2026-10-05T02:00+02:00") == MONDAY
    assert read_moment("90min", end=MONDAY) == MONDAY - 90 * units.MINUTE
