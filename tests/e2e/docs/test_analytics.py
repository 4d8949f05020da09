"""The guide to analytics, typed in word for word."""

import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from ops.analytics import connect
from tests.support.clock import HOUR_MS
from tests.support.documents.guides import blocks, guide
from tests.support.repository import ROOT
from tests.support.services.command_line import Result, environment, hyperpage
from tests.support.stores.backing_up import Stored

GUIDE = guide("analytics.md")
COMMANDS = [
    line.removeprefix("$ hyperpage ")
    for block in blocks("console", GUIDE)
    for line in block.splitlines()
    if line.startswith("$ hyperpage ")
]
PYTHON = blocks("python", GUIDE)
*ASKED, IN_ZONE, MOVED = blocks("sql", GUIDE)
QUESTIONS = [
    query.replace("2026-11-24T08:15", "2026-10-06T16:30")
    for block in ASKED
    for query in block.split(";\n")
    if query.strip()
]
# The morning that the guide's times are of, in milliseconds.
MORNING = 1_795_507_200_000  # 24 November 2026, 08:00 UTC


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `./data`, in which a service has worked that morning and made backups."""
    folder = tmp_path_factory.mktemp("guide")
    stored = Stored(folder / "data")
    stored.clock.now = MORNING
    for _ in range(2):
        stored.work(60)
        stored.backup()
    # The guide asks for moments up to noon.
    stored.clock.now = MORNING + 4 * HOUR_MS
    stored.backup()
    stored.close()
    return folder


def typed(command: str, stdin: str = "") -> Result:
    done = hyperpage(*shlex.split(command), stdin=stdin)
    assert done.code == 0, (command, done)
    return done


def test_every_command_does_what_it_says_in_the_order_of_the_guide(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    said = {command: typed(command, "SELECT 6 * 7 AS answer;\n") for command in COMMANDS}

    def of(beginning: str) -> list[Result]:
        return [result for command, result in said.items() if command.startswith(f"analytics {beginning}")]

    assert len(said) == len(COMMANDS) >= 13
    assert (folder / "data" / "lake" / "lake.json").exists()
    assert (folder / "lake" / "lake.json").exists()
    table, csv, json, parquet, described, zoned = of("sql")
    assert "+01:00" in zoned.out
    assert "duration_ms" in described.out
    assert "STATUS" in table.out
    assert csv.out.startswith("bucket,by,attempts,wait_p50_ms")
    assert {row["type"] for row in json.json} >= {"job.enqueued.v1", "job.claimed.v1"}
    assert parquet.out == ""
    assert (folder / "jobs.parquet").exists()
    assert [path.name for path in sorted(folder.glob("*.html"))] == [
        "berlin.html",
        "morning.html",
        "report.html",
        "week.html",
    ]
    assert "Our week" in (folder / "week.html").read_text(encoding="utf-8")
    changes, between, of_jobs = of("diff")
    # One line with the table's name, and one with its row.
    assert changes.out.count("\n") == 2
    assert of_jobs.out in changes.out
    assert set(between.json) >= {"jobs", "tool_configs", "app_state"}
    assert any(table["added"] for table in between.json.values())
    assert "42" in of("shell")[0].out
    with duckdb.connect(folder / "november.duckdb", read_only=True) as handed_around:
        assert handed_around.sql("SELECT count(*) FROM jobs").fetchall()[0][0] > 0


def test_the_python_example_prints_the_types_of_events(folder: Path):
    typed(f"analytics export --data {folder / 'data'}")
    done = subprocess.run(
        [sys.executable, "-c", PYTHON[0]], cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "job.enqueued.v1" in done.stdout


def test_a_lake_that_was_moved_is_asked_without_this_program(folder: Path, tmp_path: Path):
    typed(f"analytics export --data {folder / 'data'} --out {tmp_path / 'lake'}")
    moved = (tmp_path / "lake").rename(tmp_path / "moved")

    with duckdb.connect(moved / "lake.duckdb", read_only=True) as engine:
        setting, query = MOVED.replace("/where/the/folder/is/now", str(moved)).split(";", 1)
        engine.execute(setting)
        # A SQL comment ends the line.
        rows = engine.execute(query).fetchall()
    assert sum(jobs for _, jobs in rows) > 0


def test_each_question_that_comes_up_has_an_answer(tmp_path: Path):
    shutil.copytree(ROOT / "docs" / "notebook" / "sample", tmp_path / "backups")
    typed(f"analytics export --data {tmp_path}")

    with closing(connect(tmp_path / "lake")) as lake:
        answers = [lake.execute(one.replace("sync-1", "job-00001")).fetchall() for one in QUESTIONS]
        (
            slow,
            failed,
            waited,
            months,
            late,
            late_rates,
            spikes,
            changes,
            workers,
            calls,
            job,
            waiting,
            configured,
            heavy,
        ) = answers
        [(days,)] = lake.execute(
            f"SELECT list((day, events)) FROM ({IN_ZONE.rstrip().rstrip(';')})"
        ).fetchall()
        in_zone = lake.execute(
            "SELECT count(*) FROM events WHERE recorded_at >= epoch_ms(TIMESTAMPTZ '2026-10-05 00:00:00+02')"
            " AND recorded_at < epoch_ms(TIMESTAMPTZ '2026-10-06 00:00:00+02')"
        ).fetchall()
        at_moments = dict(waiting)
        for moment in list(at_moments)[::200]:
            then = f"SELECT count(*) FROM jobs_at('{moment.isoformat()}Z') WHERE status = 'pending'"
            assert lake.execute(then).fetchall() == [(at_moments[moment],)]
    assert {kind for kind, *_ in slow} == {"sync_repository", "sync_merge_requests", "sync_issues"}
    assert [kind for _, kind, *_ in job][:2] == ["job.enqueued.v1", "job.claimed.v1"]
    assert {number for _, number in waiting} >= {0, 1, 2}
    assert {row[0] for row in failed} >= {"gitlab"}
    assert {row[1] for row in waited} == {"default"}
    assert [(tool, month.month, ended) for tool, month, _, ended, *_ in months] == [("github", 10, 243)]
    assert len(late) == sum(row[3] for row in late_rates) > 0
    # The sample tells one story: a tool is down, after its configuration was changed that morning.
    assert ("gitlab", datetime(2026, 10, 6, 13)) in [row[:2] for row in spikes]  # noqa: DTZ001 - as DuckDB has it
    assert {row[1] for row in changes} == {"gitlab"}
    assert {row[0] for row in calls} == {"github", "gitlab", "jira"}
    assert all(row[2] > 0 for row in calls)
    assert {row[0] for row in workers} >= {"worker-1", "worker-2"}
    assert [events for day, events in days if (day.month, day.day) == (10, 5)] == [
        number for (number,) in in_zone
    ]
    assert len(configured) == len(heavy) == 10
    assert all(config is not None for *_, config in configured)
