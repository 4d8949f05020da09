"""Others read a lake as it is: DuckDB of other years, polars, pandas. Each in an environment of its own."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ops.analytics import connect
from ops.analytics.asking.query import plain
from ops.analytics.export.exporting import export
from ops.analytics.lake.database import write_database
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from tests.support.stores.backing_up import VERSION, Stored

QUESTIONS = [
    "SELECT type, count(*), min(position), max(recorded_at) FROM events GROUP BY ALL ORDER BY ALL",
    "SELECT * FROM jobs ORDER BY id",
    "SELECT * FROM jobs_at(40) ORDER BY id",
    "SELECT * FROM job_history_at(45) ORDER BY id",
    "SELECT * FROM queues_at(40) ORDER BY ALL",
    "SELECT * FROM schedules_at(40) ORDER BY ALL",
    "SELECT * FROM rate_limits_at(40) ORDER BY id",
    "SELECT * FROM tool_configs_at('2027-01-15T08:00:20Z') ORDER BY tool_name",
    "SELECT * FROM app_state_at('2027-01-15T09:00:20+01:00') ORDER BY key",
    "SELECT table_name, key, change FROM changes_between(20, 60) ORDER BY ALL",
    "SELECT * FROM event_rate('10 seconds')",
    "SELECT * FROM job_latency('1 minute')",
    "SELECT * FROM failure_rate('type')",
    "SELECT * FROM job_latency('1 day', \"by\" := 'queue')",
    "SELECT * FROM failure_rate('worker', bucket := '1 minute')",
    "SELECT * FROM sla_misses('10 seconds')",
    "SELECT * FROM sla_rate('10 seconds', \"by\" := 'type', bucket := '1 minute')",
    "SELECT * FROM failure_spikes('1 minute', least := 1)",
    "SELECT * FROM changes_before(60, within := '1 day')",
    "SELECT * FROM jobs_ever ORDER BY position",
    "SELECT * FROM rate_limit_burn('p1')",
    "SELECT * FROM rate_limit_burn(NULL)",
    "SELECT time, tool_name, config_before, config FROM config_audit(NULL)",
    "SELECT * FROM attempts ORDER BY id",
    "SELECT * EXCLUDE (time) FROM snapshots",
    "SELECT * FROM timelines ORDER BY ALL",
]
# Reads its questions and a way to ask from stdin, and writes the answers as JSON, values as texts.
ASKING = """
import duckdb, json, sys
task = json.load(sys.stdin)
connection = duckdb.connect(task["file"], read_only=True)
for statement in task["before"]:
    connection.execute(statement)
found = [connection.execute(one).fetchall() for one in task["questions"]]
print(json.dumps([[[str(value) for value in row] for row in rows] for rows in found]))
"""
POLARS = """
import json, polars, sys
task = json.load(sys.stdin)
events = polars.scan_parquet(task["lake"] + "/events/**/*.parquet", hive_partitioning=True)
by_type = events.group_by("timeline", "type").agg(polars.len()).sort("timeline", "type").collect()
jobs = polars.scan_parquet(task["lake"] + "/jobs/**/*.parquet", hive_partitioning=True)
by_status = jobs.group_by("snapshot", "status").agg(polars.len()).sort("snapshot", "status").collect()
print(json.dumps([[list(row) for row in by_type.rows()], [list(row) for row in by_status.rows()]]))
"""
PANDAS = """
import json, pandas, sys
task = json.load(sys.stdin)
answers = []
for table, keys in (("events", ["timeline", "type"]), ("jobs", ["snapshot", "status"])):
    rows = pandas.read_parquet(task["lake"] + "/" + table)
    rows[keys[0]] = rows[keys[0]].astype(str)
    counted = rows.groupby(keys, observed=True).size().reset_index().sort_values(keys)
    answers.append([[int(a) if a.isdigit() else a, b, int(n)] for a, b, n in counted.itertuples(index=False)])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def rich_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two timelines and four snapshots."""
    folder = tmp_path_factory.mktemp("readers")
    stored = Stored(folder / "data")
    stored.work(40)
    stored.backup()
    stored.work(40)
    stored.clock.now += 1_000
    kept = stored.backup()
    stored.work(20)
    stored.close()
    restore(stored.places, Moment(backup=kept.name), version=VERSION, now_ms=stored.clock.now)
    stored.reopen()
    stored.work(30)
    stored.clock.now += 1_000
    stored.backup()
    export(list_backups(stored.folder), folder / "lake", store_id=stored.store.origin.store_id)
    stored.close()
    write_database(folder / "lake", folder / "all.duckdb")
    return folder / "lake"


def expected(lake: Path) -> list[list[list[str]]]:
    with closing(connect(lake)) as connection:
        return [
            [[str(value) for value in row] for row in connection.execute(one).fetchall()] for one in QUESTIONS
        ]


def environment_with(folder: Path, *packages: str) -> Path:
    """The Python of an environment that has these packages alone."""
    python = folder / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    made = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "--only-binary", ":all:", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"{packages} cannot be installed here: {made.stderr.strip()[-300:]}")
    return python


def run(python: Path | str, program: str, **task: Any) -> Any:
    done = subprocess.run(
        [str(python), "-c", program], input=json.dumps(task), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_files(python: Path | str, lake: Path, moved: Path) -> None:
    """Both files answer as the lake does, also where it has been moved to."""
    right = expected(lake)
    utc = ["SET TimeZone = 'UTC'"]
    assert run(python, ASKING, file=str(lake / "lake.duckdb"), before=utc, questions=QUESTIONS) == right
    assert run(python, ASKING, file=str(lake.parent / "all.duckdb"), before=utc, questions=QUESTIONS) == right
    shutil.copytree(lake, moved)
    hidden = lake.rename(lake.with_name("away"))
    try:
        before = [*utc, f"SET VARIABLE lake = '{moved}'"]
        assert (
            run(python, ASKING, file=str(moved / "lake.duckdb"), before=before, questions=QUESTIONS) == right
        )
    finally:
        hidden.rename(lake)


def test_the_files_of_a_lake_need_nothing_of_this_program(rich_lake: Path, tmp_path: Path):
    check_files(sys.executable, rich_lake, tmp_path / "moved")


@pytest.mark.prove
@pytest.mark.parametrize("version", ["1.1.0", "1.1.3", "1.2.2", "1.3.2", "1.4.0", "1.4.5", "1.5.6", "2.0.0"])
def test_duckdb_of_other_years_reads_it(rich_lake: Path, tmp_path: Path, version: str):
    check_files(
        environment_with(tmp_path / "env", f"duckdb=={version}", "pytz"), rich_lake, tmp_path / "moved"
    )


@pytest.mark.prove
@pytest.mark.parametrize(
    ("packages", "program"),
    [
        (["polars==1.0.0"], POLARS),
        (["polars"], POLARS),
        (["pandas==2.2.3", "pyarrow==17.0.0", "numpy<2.3"], PANDAS),
        (["pandas", "pyarrow"], PANDAS),
    ],
    ids=["polars of 2024", "polars", "pandas of 2024", "pandas"],
)
def test_data_frames_read_it(rich_lake: Path, tmp_path: Path, packages: list[str], program: str):
    python = environment_with(tmp_path / "env", *packages)
    with closing(connect(rich_lake)) as connection:
        by_type = "SELECT timeline, type, count(*) FROM all_events GROUP BY ALL ORDER BY ALL"
        by_status = "SELECT snapshot, status, count(*) FROM all_jobs GROUP BY ALL ORDER BY ALL"
        right = [
            [[plain(one) for one in row] for row in connection.execute(query).fetchall()]
            for query in (by_type, by_status)
        ]
    assert run(python, program, lake=str(rich_lake)) == right
