"""The report of a night whose figures are small enough to count by hand."""

import html
from contextlib import closing
from pathlib import Path

import pytest

from ops.analytics import connect
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.report import units, write_report
from ops.analytics.report.period import Period
from ops.analytics.report.source import find_period
from tests.support.documents.report_tables import Tables
from tests.support.stores.analysed import History, ms
from tests.support.stores.night import night_lake

BY_TOOL = "Failure rate in each 10 min, by tool, and changes of its configuration"
SPIKES = "Spikes of failures, and the last change of the tool's configuration before each"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return night_lake(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def page(lake: Path) -> str:
    """The report, as it is shown in Berlin."""
    file = lake.parent / "night.html"
    write_report(lake, file, time_zone="Europe/Berlin", sla="1h")
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(page: str) -> Tables:
    return Tables(page)


def test_failures_by_tool_have_the_changes_of_its_configuration_beside_them(page: str, shown: Tables):
    rows = [[*row[:4], float(row[4])] for row in shown.rows(BY_TOOL)]
    assert rows == [
        ["gitlab", "2026-10-24T21:00:00.000Z", "1", "0", 0.0],
        ["gitlab", "2026-10-24T22:30:00.000Z", "1", "0", 0.0],
        ["gitlab", "2026-10-25T00:30:00.000Z", "3", "3", 1.0],
        ["gitlab", "2026-10-25T01:30:00.000Z", "1", "0", 0.0],
        ["jira", "2026-10-24T23:00:00.000Z", "1", "0", 0.0],
    ]
    for said in (
        "gitlab: patched\n2026-10-25 01:30:00 Europe/Berlin\nby dev\nbecause: faster",
        "gitlab: disabled\n2026-10-25 02:30:10 Europe/Berlin\nby on-call\nbecause: 503",
    ):
        # On the line of each tool's failures, and on the time line of all changes.
        assert html.unescape(page).count(f"<title>{said}</title>") == 2


def test_a_spike_has_the_change_before_it(shown: Tables):
    [spike] = shown.rows(SPIKES)
    assert spike == [
        *("gitlab", "2026-10-25T00:30:10.000Z", "3", "3", "1.0", "0.0"),
        *("patched", "3610000", "dev", "faster", "rate"),
    ]


def test_waits_and_late_jobs_are_shown_by_queue(page: str, shown: Tables):
    waits = shown.rows("Wait for a worker in each 10 min, by queue: 95 % waited no longer")
    assert waits == [
        ["slow", "1", "7200000", "7200000", "7200000", "7200000"],
        # Three waited for nothing, the others for 5, 10 and 60 s.
        ["fast", "6", "0", "60000", "60000", "60000"],
    ]
    late = [[*row[:3], float(row[3])] for row in shown.rows("Late jobs, by queue")]
    assert late == [["fast", "6", "3", 0.5], ["slow", "2", "2", 1.0]]
    latest = shown.rows("Jobs that were late by most, or still are")
    assert [(row[0], row[3], row[5]) for row in latest] == [
        ("d1", "completed", "3630000"),
        ("b1", "failed", "2100000"),
        ("b2", "failed", "2100000"),
        ("b3", "failed", "2100000"),
        ("d3", "pending", "1200000"),
    ]
    assert "5 of 8 jobs (62.5 %) were not done within 1 h since they were due." in page


def test_all_budgets_are_shown_by_the_days_and_hours_of_the_zone(page: str):
    for said in (
        "2026-10-24, 23:00 to 23:59\nleast left: 60 % of github\ncalls known of, of all budgets: 0",
        "2026-10-25, 00:00 to 00:59\nleast left: 0 % of github\ncalls known of, of all budgets: 60",
        "2026-10-25, 01:00 to 01:59\nleast left: 50 % of slack\ncalls known of, of all budgets: 0",
    ):
        assert f"<title>{said}</title>" in page
    assert page.count("calls known of") == 3


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
@pytest.mark.parametrize("change", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"])
def test_stretches_of_time_begin_where_the_lake_has_them_begin(lake: Path, zone: str, change: str):
    # Hours, half days, days, weeks and longer, around the moments at which Berlin's clocks are changed.
    with closing(connect(lake, time_zone=zone)) as engine:
        for hours in (1, 30, 100, 300, 700, 24 * 50, 24 * 400, 24 * 1_500):
            middle, half = ms(change), hours * units.HOUR // 2
            period = Period(middle - half + 1, middle + half, zone)
            since, until, step = period.since, period.until, period.bucket_ms // 4
            found = engine.execute(
                f"SELECT DISTINCT {period.begin_of('moment')} FROM"
                f" (SELECT unnest(range({since}, {until}, {step}) || [{until - 1}]) AS moment) ORDER BY 1"
            ).fetchall()
            assert [begin for (begin,) in found] == list(period.begins()), period.bucket


def test_a_zone_of_whose_times_two_things_are_said_is_refused_where_they_differ(lake: Path):
    # Lagos has in summer what Berlin has in winter: so do rules that are older than a change of them.
    with closing(connect(lake, time_zone="Europe/Berlin")) as engine:
        for until in ("2026-10-25T01:00:01Z", None):
            with pytest.raises(AnalyticsError, match="other rules for the times of Africa/Lagos") as refused:
                find_period(engine, "2026-10-24T21:00:00Z", until, "Africa/Lagos")
            assert refused.value.reason == "unknown_time_zone"
        assert find_period(engine, "2026-10-25T01:00:00Z", None, "Africa/Lagos").since == ms(
            "2026-10-25T01:00:00Z"
        )
        find_period(engine, "2026-10-24T21:00:00Z", None, "Europe/Berlin")


def test_charts_and_their_tables_have_the_same_names_and_say_how_many_are_left_out(tmp_path: Path):
    one = History(tmp_path, ms("2026-10-24T20:00:00Z"))
    with one.store:
        for number in range(8):
            one.enqueue(f"j{number}", "sync", f"tool{number}", queue=f"queue{number}")
            one.send("jobs.complete", **one.claim(queue=f"queue{number}"))
        made = one.lake()
    write_report(made, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tables = Tables(page).tables
    for beginning, name in (("Failure rate in each", "tool"), ("Wait for a worker in each", "queue")):
        [caption] = [each for each in tables if each.startswith(beginning)]
        # There are six colours.
        assert [row[0] for row in tables[caption][1:]] == [f"{name}{number}" for number in range(6)]
        assert f"6 are shown, 2 more {name}s are not." in page
