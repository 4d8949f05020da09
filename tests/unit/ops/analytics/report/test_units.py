"""Figures in a report are written as people read them, and axes have round places."""

from datetime import datetime
from zoneinfo import ZoneInfo

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
        assert list(period.spans()) == begins


def test_weeks_begin_on_mondays():
    assert list(units.begins(MONDAY + 6 * units.DAY + 1, MONDAY + 8 * units.DAY, 7 * units.DAY)) == [
        MONDAY, MONDAY + 7 * units.DAY,
    ]  # fmt: skip


def test_days_begin_at_midnight_of_the_zone_and_hours_are_all_as_long():
    berlin = ZoneInfo("Europe/Berlin")
    # The clocks are put back at 03:00 of the 25th.
    midnight = round(datetime(2026, 10, 25, tzinfo=berlin).timestamp() * 1000)
    begins = list(units.begins(midnight, midnight + 2 * units.DAY, units.DAY, berlin))
    assert [begin - midnight for begin in begins] == [0, 25 * units.HOUR]
    assert [units.minute(begin, berlin) for begin in begins] == ["2026-10-25 00:00", "2026-10-26 00:00"]
    hours = [
        units.minute(one, berlin)[11:]
        for one in units.begins(midnight, midnight + 5 * units.HOUR, units.HOUR, berlin)
    ]
    assert hours == ["00:00", "01:00", "02:00", "02:00", "03:00"]
    pairs = [
        units.minute(one, berlin)[11:]
        for one in units.begins(midnight, midnight + 6 * units.HOUR, 2 * units.HOUR, berlin)
    ]
    assert pairs == ["00:00", "02:00", "04:00"]
    ticks = [
        (time, date) for _, time, date in units.time_ticks(midnight, midnight + 12 * units.HOUR, 4, berlin)
    ]
    assert ticks == [("00:00", "Sun 25 Oct"), ("03:00", ""), ("06:00", ""), ("09:00", "")]


def test_the_first_tick_of_a_day_has_its_date():
    ticks = units.time_ticks(MONDAY, MONDAY + 2 * units.DAY, 8)

    assert [(time, date) for _, time, date in ticks] == [
        ("00:00", "Mon 5 Oct"), ("06:00", ""), ("12:00", ""), ("18:00", ""),
        ("00:00", "Tue 6 Oct"), ("06:00", ""), ("12:00", ""), ("18:00", ""),
    ]  # fmt: skip


def test_a_moment_without_a_zone_is_meant_in_utc_and_an_age_counts_back():
    assert read_moment("2026-10-05") == read_moment("2026-10-05T02:00+02:00") == MONDAY
    assert read_moment("90min", end=MONDAY) == MONDAY - 90 * units.MINUTE
