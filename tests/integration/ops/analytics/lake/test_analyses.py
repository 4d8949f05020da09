"""The macros for analysts, over a night whose figures are small enough to count by hand."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ops.analytics import connect
from ops.analytics.lake.errors import AnalyticsError
from tests.support.stores.analysed import History, ms
from tests.support.stores.night import START, night_lake


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of the night."""
    return night_lake(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def lake(night: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(connect(night)) as connection:
        yield connection


@pytest.fixture(scope="module")
def berlin(night: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(connect(night, time_zone="Europe/Berlin")) as connection:
        yield connection


def answer(lake: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """The rows; a time in UTC or the zone of the session as it is written."""
    return [
        tuple(value.isoformat() if isinstance(value, datetime) else value for value in row)
        for row in lake.execute(query).fetchall()
    ]


def test_attempts_say_who_worked_on_them_also_of_archived_jobs(lake: duckdb.DuckDBPyConnection):
    assert answer(lake, "SELECT job_id, worker FROM attempts ORDER BY started_at, job_id") == [
        ("a1", "w1"), ("a2", "w2"), ("d1", "w1"), ("b1", "w1"), ("b2", "w1"), ("b3", "w1"), ("c1", "w2"),
    ]  # fmt: skip
    assert answer(lake, "SELECT id FROM jobs ORDER BY id") == [
        (job,) for job in ("a2", "b2", "b3", "c1", "d2", "d3", "d4")
    ]


def test_failures_by_tool_and_time_at_once(lake: duckdb.DuckDBPyConnection):
    columns = 'bucket, "by", ended, completed, failed, failure_rate'
    assert answer(lake, f"SELECT {columns} FROM failure_rate('tool', bucket := '1 hour')") == [
        ("2026-10-24T21:00:00", "gitlab", 1, 1, 0, 0.0),
        ("2026-10-24T22:00:00", "gitlab", 1, 1, 0, 0.0),
        ("2026-10-24T23:00:00", "jira", 1, 1, 0, 0.0),
        ("2026-10-25T00:00:00", "gitlab", 3, 0, 3, 1.0),
        ("2026-10-25T01:00:00", "gitlab", 1, 1, 0, 0.0),
    ]
    whole = f"SELECT {columns} FROM failure_rate(NULL)"
    assert answer(lake, whole) == [(None, None, 7, 4, 3, 0.4286)]


def test_waits_by_queue_and_time_at_once(lake: duckdb.DuckDBPyConnection):
    columns = 'bucket, "by", attempts, wait_p50_ms, wait_max_ms, run_max_ms'
    by_queue = "job_latency('1 day', \"by\" := 'queue')"
    assert answer(lake, f"SELECT {columns} FROM {by_queue}") == [
        ("2026-10-24T00:00:00", "fast", 2, 10_000, 60_000, 30_000),
        ("2026-10-24T00:00:00", "slow", 1, 7_200_000, 7_200_000, 30_000),
        ("2026-10-25T00:00:00", "fast", 4, 0, 5_000, 30_000),
    ]


def test_hours_and_days_are_those_of_the_zone_also_where_the_clocks_are_put_back(
    berlin: duckdb.DuckDBPyConnection,
):
    hourly = "SELECT bucket, \"by\", ended FROM failure_rate('tool', bucket := '1 hour')"
    assert answer(berlin, hourly) == [
        ("2026-10-24T23:00:00+02:00", "gitlab", 1),
        ("2026-10-25T00:00:00+02:00", "gitlab", 1),
        ("2026-10-25T01:00:00+02:00", "jira", 1),
        # Two hours that both begin at two o'clock.
        ("2026-10-25T02:00:00+02:00", "gitlab", 3),
        ("2026-10-25T02:00:00+01:00", "gitlab", 1),
    ]
    # This day has 25 hours.
    daily = "SELECT bucket, \"by\", ended, failure_rate FROM failure_rate('tool', bucket := '1 day')"
    assert answer(berlin, daily) == [
        ("2026-10-24T00:00:00+02:00", "gitlab", 1, 0.0),
        ("2026-10-25T00:00:00+02:00", "gitlab", 5, 0.6),
        ("2026-10-25T00:00:00+02:00", "jira", 1, 0.0),
    ]
    assert answer(berlin, "SELECT DISTINCT bucket FROM event_rate('6 hours') ORDER BY ALL") == [
        ("2026-10-24T18:00:00+02:00",),
        ("2026-10-25T00:00:00+02:00",),
    ]
    assert answer(berlin, "SELECT time, key FROM events WHERE type = 'queue.paused.v1'") == [
        ("2026-10-25T02:20:00+01:00", "slow")
    ]


def test_moments_without_a_zone_are_meant_in_the_one_that_was_asked_for(
    lake: duckdb.DuckDBPyConnection, berlin: duckdb.DuckDBPyConnection
):
    def position_of(engine: duckdb.DuckDBPyConnection, moment: str) -> Any:
        return answer(engine, f"SELECT position_of('{moment}')")[0][0]

    completed = position_of(lake, "2026-10-24 21:00:40")
    assert position_of(berlin, "2026-10-24 23:00:40") == completed
    assert (
        position_of(berlin, "2026-10-24T21:00:40Z")
        == position_of(lake, "2026-10-24T23:00:40+02:00")
        == completed
    )
    assert position_of(berlin, "2026-10-25 03:05") == position_of(lake, "2026-10-25 02:05")
    with pytest.raises(
        duckdb.Error, match=r"does not know of 2026-10-25 03:06 yet: it ends at 2026-10-25 03:05:00\+01"
    ):
        position_of(berlin, "2026-10-25 03:06")
    with pytest.raises(
        duckdb.Error, match="does not know of 2026-10-25T02:05:01Z yet: it ends at 2026-10-25 02:05:00 "
    ):
        position_of(lake, "2026-10-25T02:05:01Z")


def test_a_zone_that_there_is_not_is_refused(night: Path):
    # The last three are zones of many systems, and not of DuckDB.
    for name in ("Europe/Atlantis", "../../etc/passwd", "", "localtime", "posixrules", "right/UTC"):
        with pytest.raises(AnalyticsError, match="is no time zone"):
            connect(night, time_zone=name)


def test_late_jobs_are_counted_with_those_that_were_archived(lake: duckdb.DuckDBPyConnection):
    misses = "SELECT id, state, queue, due, late_ms FROM sla_misses('1 hour')"
    assert answer(lake, misses) == [
        ("d1", "completed", "slow", "2026-10-24T21:00:00", 3_630_000),
        ("b1", "failed", "fast", "2026-10-25T00:30:00", 2_100_000),
        ("b2", "failed", "fast", "2026-10-25T00:30:00", 2_100_000),
        ("b3", "failed", "fast", "2026-10-25T00:30:00", 2_100_000),
        ("d3", "pending", "slow", "2026-10-25T00:45:00", 1_200_000),
    ]
    # Neither the job that was cancelled in time counts, nor the one whose hour is not over.
    rates = "SELECT \"by\", jobs, late, late_rate FROM sla_rate('1 hour', \"by\" := 'queue')"
    assert answer(lake, rates) == [("slow", 2, 2, 1.0), ("fast", 6, 3, 0.5)]
    by_day = "SELECT bucket, jobs, late FROM sla_rate(INTERVAL 1 HOUR, bucket := '1 day')"
    assert answer(lake, by_day) == [("2026-10-24T00:00:00", 3, 1), ("2026-10-25T00:00:00", 5, 4)]
    assert answer(lake, "FROM sla_misses('1 day')") == []


def test_every_job_there_was_is_there_once_and_due_when_nothing_held_it(tmp_path: Path):
    one = History(tmp_path, ms(START))
    with one.store:
        one.enqueue("first", "sync", "gitlab")
        one.enqueue("second", "sync", "gitlab", depends_on=["first"])
        one.enqueue("held", "sync", "gitlab", hold=True)
        one.at("2026-10-24T21:00:00Z").send("jobs.complete", **one.claim())
        one.send("jobs.archive", id="first")
        one.at("2026-10-24T21:00:05Z").send("jobs.complete", **one.claim())
        # Another job with the same id.
        one.at("2026-10-24T22:00:00Z").enqueue("first", "scan", "jira")
        made = one.at("2026-10-24T23:30:00Z").lake()
    with closing(connect(made)) as lake:
        found = answer(lake, "SELECT id, type, state, due, archived FROM jobs_ever ORDER BY created_position")
        late = answer(lake, "SELECT id FROM sla_misses('30 minutes')")
    assert found == [
        ("first", "sync", "completed", START.removesuffix("Z"), True),
        ("second", "sync", "completed", "2026-10-24T21:00:00", False),
        ("held", "sync", "held", None, False),
        ("first", "scan", "pending", "2026-10-24T22:00:00", False),
    ]
    assert late == [("first",), ("first",)]


def test_a_job_is_late_until_it_is_cancelled_and_never_if_it_was_never_due(tmp_path: Path):
    one = History(tmp_path, ms(START))
    with one.store:
        one.enqueue("waits", "sync", "gitlab")
        one.enqueue("held", "sync", "gitlab", hold=True)
        one.enqueue("blocked", "sync", "gitlab", depends_on=["held"])
        one.enqueue("failed", "sync", "gitlab", queue="fast", max_attempts=1)
        one.send("jobs.fail", **one.claim(queue="fast"), error="503")
        one.at("2026-10-24T22:00:00Z")
        for job in ("blocked", "held", "waits"):
            one.send("jobs.cancel", id=job)
        made = one.at("2026-10-24T23:30:00Z").lake()
    with closing(connect(made)) as lake:
        assert answer(lake, "SELECT id, due FROM jobs_ever ORDER BY id") == [
            ("blocked", None),
            ("failed", "2026-10-24T20:00:00"),
            ("held", None),
            ("waits", "2026-10-24T20:00:00"),
        ]
        # Lateness up to now (3.5 h) and up to the cancelling (2 h), less the half hour that each job had.
        assert answer(lake, "SELECT id, late_ms FROM sla_misses('30 minutes') ORDER BY id") == [
            ("failed", 10_800_000),
            ("waits", 5_400_000),
        ]
        assert answer(lake, "SELECT jobs, late FROM sla_rate('30 minutes')") == [(2, 2)]


def test_a_spike_after_a_pause_is_another_one(tmp_path: Path):
    one = History(tmp_path, ms(START))
    with one.store:
        # Three failures in an hour, none in the next one, three in each of the two behind.
        for time, command, jobs in (
            ("2026-10-24T20:10:00Z", "complete", 6),
            ("2026-10-24T21:10:00Z", "fail", 3),
            ("2026-10-24T23:10:00Z", "fail", 3),
            ("2026-10-25T00:10:00Z", "fail", 3),
        ):
            one.at(time)
            for number in range(jobs):
                one.enqueue(f"{time}-{number}", "sync", "gitlab", max_attempts=1)
                said = {"error": "503"} if command == "fail" else {}
                one.send(f"jobs.{command}", **one.claim(), **said)
        made = one.lake()
    with closing(connect(made)) as lake:
        # The others failed in 6 of 12 attempts each time: 1 is twice as much.
        assert answer(lake, "SELECT bucket, failed, usual_rate FROM failure_spikes('1 hour')") == [
            ("2026-10-24T21:00:00", 3, 0.5),
            ("2026-10-24T23:00:00", 3, 0.5),
        ]


def test_a_spike_is_told_with_what_was_changed_before_its_first_failure(lake: duckdb.DuckDBPyConnection):
    columns = (
        "tool, bucket, ended, failed, failure_rate, usual_rate, first_failed, changed, changed_ms_before,"
        " change, actor, reason, config_before, config"
    )
    spike = (
        *("gitlab", "2026-10-25T00:00:00", 3, 3, 1.0, 0.0),
        *("2026-10-25T00:30:10", "2026-10-24T23:30:00", 3_610_000, "tool_config.patched.v1", "dev", "faster"),
        *('{"rate":1}', '{"rate":9}'),
    )
    assert answer(lake, f"SELECT {columns} FROM failure_spikes('1 hour')") == [spike]
    # Each stretch of ten seconds has one failure; those after the first continue the same spike.
    begun = "SELECT bucket, actor FROM failure_spikes('10 seconds', least := 1)"
    assert answer(lake, begun) == [("2026-10-25T00:30:10", "dev")]
    assert answer(lake, "FROM failure_spikes('1 hour', least := 4)") == []


def test_changes_before_a_moment_are_those_that_people_made(lake: duckdb.DuckDBPyConnection):
    def changes(arguments: str) -> list[tuple[Any, ...]]:
        return answer(lake, f"SELECT key, type, actor, reason FROM changes_before({arguments})")

    patched = ("gitlab", "tool_config.patched.v1", "dev", "faster")
    disabled = ("gitlab", "tool_config.disabled.v1", "on-call", "503")
    paused = ("slow", "queue.paused.v1", "on-call", "look")
    assert changes("'2026-10-25T00:30:00Z'") == [patched]
    assert changes("'2026-10-25T00:30:00Z', within := '59 minutes'") == []
    assert changes("'2026-10-25T02:05:00Z', within := '3 hours'") == [paused, disabled, patched]
    [(position,)] = answer(lake, "SELECT position FROM events WHERE type = 'queue.paused.v1'")
    assert changes(str(position)) == [paused, disabled]


def test_the_budgets_of_all_platforms_at_once(
    lake: duckdb.DuckDBPyConnection, berlin: duckdb.DuckDBPyConnection
):
    columns = "time, platform, limit_remaining, used_percent, calls, calls_an_hour, resets"
    assert answer(lake, f"SELECT {columns} FROM rate_limit_burn(NULL)") == [
        ("2026-10-24T21:50:00", "github", 60, 40.0, None, None, "2026-10-24T23:00:00"),
        ("2026-10-24T22:20:00", "github", 0, 100.0, 60, 120.0, "2026-10-24T23:00:00"),
        ("2026-10-24T23:05:00", "github", 90, 10.0, None, None, "2026-10-25T00:00:00"),
        ("2026-10-24T23:06:00", "slack", 50, 50.0, None, None, "2026-10-25T00:00:00"),
    ]
    # In Berlin, the limit was exhausted on the next day.
    exhausted = "SELECT time FROM rate_limit_burn('github') WHERE limit_remaining = 0"
    assert answer(berlin, exhausted) == [("2026-10-25T00:20:00+02:00",)]


def test_sizes_are_bytes_of_what_lies_there(lake: duckdb.DuckDBPyConnection, night: Path):
    [(size, plain_size)] = answer(lake, "SELECT size, plain_size FROM snapshots")
    [backup] = (night.parent / "backups").glob("*.db")
    assert size == plain_size == backup.stat().st_size
    [(text, of_parts)] = answer(
        lake,
        "SELECT sum(size), sum(strlen(stream || type || coalesce(data, '') || coalesce(metadata, '')))"
        " FROM events",
    )
    assert text == of_parts > 0


def test_the_recipe_for_another_zone_is_right_of_a_lake_that_others_open(lake: duckdb.DuckDBPyConnection):
    # The recipe in `docs/analytics.md`, which a test of the guide also runs word for word.
    shown = "time AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin'"
    assert answer(lake, f"SELECT {shown} FROM events WHERE type = 'queue.paused.v1'") == [
        ("2026-10-25T02:20:00",)
    ]
