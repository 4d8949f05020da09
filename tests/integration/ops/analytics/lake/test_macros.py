"""The macros of a lake, over a history that is known to the millisecond."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import duckdb
import msgspec
import pytest
from pyarrow import parquet

from migrations import runner
from ops.analytics import connect
from ops.analytics.export.exporting import export
from ops.analytics.lake.files import File, finished
from ops.analytics.lake.manifest import read_manifest, write_manifest
from ops.backup.content import read_content
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups, write_metadata
from ops.backup.sound import file_checksum
from tests.support.clock import HOUR_MS
from tests.support.stores.analysed import History

# 2027-01-15, 08:00 UTC.
START = 1_800_000_000_000


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    one = History(tmp_path_factory.mktemp("macros"), START)
    with one.store:
        happen(one)
        yield one


def happen(one: History) -> None:
    window: dict[str, Any] = {"platform": "github", "limit": 100, "reset_time": START + HOUR_MS}
    one.at(START).enqueue("a", "mail", "smtp")
    one.send("tool_configs.set", actor="ops", tool_name="smtp", config={"port": 25}, reason="new")
    one.send("rate_limits.observe", **window, remaining=100)
    a = one.at(START + 1_000).claim()
    one.at(START + 3_000).send("jobs.complete", **a)
    one.mark("first job")
    one.at(START + 600_000).enqueue("b", "mail", "smtp", max_attempts=1)
    one.send("rate_limits.observe", **window, remaining=40)
    b = one.at(START + 605_000).claim()
    one.at(START + 606_000).send("jobs.fail", **b, error="no route")
    one.at(START + 900_000).send("tool_configs.patch", actor="dev", tool_name="smtp", patch={"port": 587})
    one.send("tool_configs.set", actor="ops", tool_name="other", config={})
    one.at(START + 1_200_000)
    one.send("rate_limits.observe", **window | {"remaining": 100, "reset_time": START + 2 * HOUR_MS})
    one.send("app_state.set", key="cursor", value=1)
    one.mark("before archiving")
    one.at(START + 1_300_000).send("jobs.archive", id="a")
    one.send("app_state.delete", key="cursor")
    one.at(START + HOUR_MS).enqueue("c", "scan", "crawler")
    one.mark("end")


@pytest.fixture(scope="module")
def opened(history: History) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(connect(history.lake())) as connection:
        yield connection


def answer(lake: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return lake.execute(query).fetchall()


def at(offset_ms: int) -> datetime:
    return datetime(2027, 1, 15, 8, offset_ms // 60_000, offset_ms // 1_000 % 60)  # noqa: DTZ001 - as DuckDB has it


def test_position_of_takes_positions_times_and_backups(opened: duckdb.DuckDBPyConnection, history: History):
    first = history.positions["first job"]
    end = history.positions["end"]
    [(backup,)] = answer(opened, "SELECT name FROM snapshots")

    def position_of(moment: str) -> Any:
        return answer(opened, f"SELECT position_of({moment})")[0][0]

    assert position_of("3") == position_of("'3'") == 3
    assert position_of("'2027-01-15T08:00:03Z'") == first
    assert position_of("'2027-01-15T09:00:03+01:00'") == first
    assert position_of("'2027-01-15 08:00:03'") == first
    assert position_of("TIMESTAMP '2027-01-15 08:00:03.5'") == first
    assert position_of("TIMESTAMPTZ '2027-01-15 09:00:03+01:00'") == first
    assert position_of("'2027-01-15T07:59:59Z'") == 0
    assert position_of("'2027-01-15T09:00:00Z'") == position_of(str(end)) == end
    assert position_of(f"'{backup}'") == end
    with pytest.raises(duckdb.Error, match="no moment of this history: soon"):
        position_of("'soon'")
    # Later moments than the lake's last one are unknown.
    for future in ("'2027-01-15T09:00:01Z'", "'2028-01-01'", str(end + 1), "'99999999999999999999'"):
        with pytest.raises(duckdb.Error, match=r"the lake does not know of .* yet: it ends at "):
            position_of(future)
    with pytest.raises(duckdb.Error, match=f"position {end + 1} yet: it ends at {end} "):
        answer(opened, f"FROM jobs_at({end + 1})")


def test_each_table_at_a_moment(opened: duckdb.DuckDBPyConnection, history: History):
    first, before = history.positions["first job"], history.positions["before archiving"]

    assert answer(opened, f"SELECT id, status FROM jobs_at({first})") == [("a", "completed")]
    assert answer(opened, f"SELECT id, state FROM jobs_at({before}) ORDER BY id") == [
        ("a", "completed"),
        ("b", "failed"),
    ]
    assert answer(opened, "SELECT id FROM jobs ORDER BY id") == [("b",), ("c",)]
    attempts = f"SELECT job_id, status, duration_ms FROM job_history_at({before}) ORDER BY id"
    assert answer(opened, attempts) == [("a", "completed", 2_000), ("b", "failed", 1_000)]
    assert answer(opened, "SELECT job_id FROM job_history") == [("b",)]
    assert answer(opened, f"SELECT key, value FROM app_state_at({before})") == [("cursor", "1")]
    assert answer(opened, "FROM app_state") == []
    port = "SELECT config ->> 'port' FROM tool_configs_at({}) WHERE tool_name = 'smtp'"
    assert answer(opened, port.format(first)) == [("25",)]
    assert answer(opened, port.format(before)) == [("587",)]
    assert answer(opened, f"SELECT limit_remaining FROM rate_limits_at({first})") == [(100,)]
    assert answer(opened, "FROM queues_at('2027-01-15')") == answer(opened, "FROM schedules_at(1)") == []


def test_changes_between(opened: duckdb.DuckDBPyConnection, history: History):
    first, before = history.positions["first job"], history.positions["before archiving"]

    changed = answer(
        opened,
        "SELECT table_name, key, change, old ->> 'config', new ->> 'config'"
        f" FROM changes_between({first}, {before})",
    )

    assert changed == [
        ("app_state", "cursor", "added", None, None),
        ("job_history", str(answer(opened, "SELECT id FROM job_history")[0][0]), "added", None, None),
        ("jobs", "b", "added", None, None),
        ("rate_limits", "ratelimit:github", "changed", None, None),
        ("tool_configs", "other", "added", None, "{}"),
        ("tool_configs", "smtp", "changed", '{"port":25}', '{"port":587}'),
    ]
    assert answer(opened, f"FROM changes_between({before}, {before})") == []
    later = f"changes_between({before}, {history.positions['end']})"
    gone = f"SELECT key, change FROM {later} WHERE table_name = 'jobs' ORDER BY key"
    assert answer(opened, gone) == [("a", "removed"), ("c", "added")]


def test_attempts_are_all_that_there_were(opened: duckdb.DuckDBPyConnection):
    attempts = "SELECT job_id, type, tool, priority, status, wait_ms, duration_ms FROM attempts ORDER BY id"
    assert answer(opened, attempts) == [
        # This job has left the tables.
        ("a", "mail", "smtp", 2, "completed", 1_000, 2_000),
        ("b", "mail", "smtp", 2, "failed", 5_000, 1_000),
    ]


def test_attempts_are_those_that_the_versions_tell_of(tmp_path: Path):
    one = History(tmp_path, START)
    with one.store:
        for number in range(30):
            one.enqueue(f"job-{number % 11}-{number // 11}", "scan", "crawler")
            job = one.at(START + number * 1_000).claim()
            if number % 2:
                one.send("jobs.complete", **job)
            if number % 4 == 1:
                one.send("jobs.archive", id=job["id"])
        made = one.lake()

    with closing(connect(made)) as lake:
        found = answer(lake, "SELECT id, job_id, status, started_at, type FROM attempts ORDER BY id")
        versions = answer(
            lake,
            "SELECT id, job_id, arg_max(status, position), arg_max(started_at, position), 'scan'"
            " FROM job_history_versions WHERE NOT deleted GROUP BY id, job_id ORDER BY id",
        )
    assert len(found) == 30
    assert found == versions


def test_attempts_are_described_by_the_job_that_had_their_id_then(tmp_path: Path):
    one = History(tmp_path, START)
    with one.store:
        one.enqueue("a", "mail", "smtp")
        one.send("jobs.complete", **one.claim())
        one.send("jobs.archive", id="a")
        one.enqueue("a", "scan", "crawler")
        one.send("jobs.complete", **one.claim())
        made = one.lake()

    with closing(connect(made)) as lake:
        found = answer(lake, "SELECT type, tool FROM attempts ORDER BY id")
    assert found == [("mail", "smtp"), ("scan", "crawler")]


def test_event_rate(opened: duckdb.DuckDBPyConnection):
    rate = "SELECT bucket, events FROM event_rate('10 minutes') WHERE type = 'job.enqueued.v1'"
    assert answer(opened, rate) == [(at(0), 1), (at(600_000), 1), (datetime(2027, 1, 15, 9), 1)]  # noqa: DTZ001
    everything = "SELECT sum(events) FROM event_rate(INTERVAL 1 DAY)"
    assert answer(opened, everything) == answer(opened, "SELECT count(*) FROM events")


def test_job_latency(opened: duckdb.DuckDBPyConnection):
    columns = "bucket, attempts, wait_p50_ms, wait_max_ms, run_p50_ms, run_p99_ms"
    assert answer(opened, f"SELECT {columns} FROM job_latency('10 minutes')") == [
        (at(0), 1, 1_000, 1_000, 2_000, 2_000),
        (at(600_000), 1, 5_000, 5_000, 1_000, 1_000),
    ]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("type", [("mail", 2, 2, 1, 1, 0.5)]),
        ("tool", [("smtp", 2, 2, 1, 1, 0.5)]),
        ("endpoint", [(None, 2, 2, 1, 1, 0.5)]),
        ("queue", [("default", 2, 2, 1, 1, 0.5)]),
        ("priority", [("2", 2, 2, 1, 1, 0.5)]),
        ("status", [("failed", 1, 1, 0, 1, 1.0), ("completed", 1, 1, 1, 0, 0.0)]),
        ("worker", [("w", 2, 2, 1, 1, 0.5)]),
    ],
)
def test_failure_rate(opened: duckdb.DuckDBPyConnection, by: str, rows: list[tuple[Any, ...]]):
    columns = '"by", attempts, ended, completed, failed, failure_rate'
    assert answer(opened, f"SELECT {columns} FROM failure_rate('{by}')") == rows


def test_failure_rate_says_what_it_can_be_asked_by(opened: duckdb.DuckDBPyConnection):
    with pytest.raises(
        duckdb.Error, match="type, tool, endpoint, queue, priority, status or worker, not colour"
    ):
        answer(opened, "FROM failure_rate('colour')")


def test_rate_limit_burn(opened: duckdb.DuckDBPyConnection):
    columns = "time, limit_remaining, used_percent, calls, calls_an_hour"
    assert answer(opened, f"SELECT {columns} FROM rate_limit_burn('github')") == [
        (at(0), 100, 0.0, None, None),
        (at(600_000), 40, 60.0, 60, 360.0),
        # Another window begins.
        (at(1_200_000), 100, 0.0, None, None),
    ]
    assert answer(opened, "FROM rate_limit_burn('nobody')") == []


def test_config_audit(opened: duckdb.DuckDBPyConnection):
    columns = "time, tool_name, actor, reason, config_before, config"
    assert answer(opened, f"SELECT {columns} FROM config_audit('smtp')") == [
        (at(0), "smtp", "ops", "new", None, '{"port":25}'),
        (at(900_000), "smtp", "dev", None, '{"port":25}', '{"port":587}'),
    ]
    assert answer(opened, "SELECT tool_name FROM config_audit(NULL) GROUP BY ALL ORDER BY ALL") == [
        ("other",),
        ("smtp",),
    ]


def test_hot_keys_are_typed_columns_with_what_an_event_leaves_out(opened: duckdb.DuckDBPyConnection):
    columns = dict(answer(opened, "SELECT column_name, column_type FROM (DESCRIBE events)"))
    assert columns["data_priority"] == columns["data_remaining"] == "BIGINT"
    assert columns["data_type"] == columns["data_error"] == columns["actor"] == "VARCHAR"
    assert columns["data_enabled"] == "BOOLEAN"
    assert columns["time"] == "TIMESTAMP"
    enqueued = (
        "SELECT key, data_type, data_priority, data ->> 'priority' FROM events WHERE type = 'job.enqueued.v1'"
    )
    # A default that the event leaves out is filled in.
    assert answer(opened, f"{enqueued} ORDER BY position") == [
        ("a", "mail", 2, None),
        ("b", "mail", 2, None),
        ("c", "scan", 2, None),
    ]


def test_every_macro_of_the_catalogue_is_asked_for_something_here(opened: duckdb.DuckDBPyConnection):
    macros = answer(
        opened,
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE NOT internal AND function_type LIKE '%macro'",
    )
    here = Path(__file__)
    source = "".join(path.read_text(encoding="utf-8") for path in (here, here.with_name("test_analyses.py")))
    helpers = {
        "bucket_of", "group_of", "is_late", "is_position", "last_backup_ms", "last_position",
        "milliseconds_of", "shown_ms", "shown_position", "time_of", "unknown_yet", "without_zone",
    }  # fmt: skip
    missing = {name for (name,) in macros if f"{name}(" not in source} - helpers
    assert not missing
    assert answer(
        opened, "SELECT shown_position(), is_position('x'), milliseconds_of('1970-01-01 00:00:01')"
    ) == [(answer(opened, "SELECT max(position) FROM events")[0][0], False, 1_000)]


def test_no_macro_has_what_duckdb_1_4_0_cannot_read_of_a_file(opened: duckdb.DuckDBPyConnection):
    # Its first two releases cannot read a macro from a file if it has a common table expression.
    macros = answer(
        opened,
        "SELECT function_name, macro_definition FROM duckdb_functions()"
        " WHERE NOT internal AND macro_definition IS NOT NULL",
    )
    assert len(macros) > 10
    assert [name for name, definition in macros if "WITH " in definition.upper()] == []


def test_attempts_of_a_backup_of_before_a_migration_lack_what_it_brought(tmp_path: Path):
    one = History(tmp_path, START)
    with one.store:
        for job in ("a", "b"):
            one.enqueue(job, "scan", "crawler")
            one.send("jobs.complete", **one.claim())
        one.send("jobs.archive", id="a")
        backup = create_backup(tmp_path / "hyperpage.db", tmp_path / "backups", version="0")
    with closing(apsw.Connection(str(backup.path))) as connection:
        runner.down(connection, to="005_configuration_and_state")
        content = read_content(connection)
    metadata = msgspec.structs.replace(
        backup.metadata,
        checksum=file_checksum(backup.path),
        size=backup.path.stat().st_size,
        rows=content.rows,
        migrations=content.migrations,
    )
    write_metadata(backup.path, metadata)

    assert export(list_backups(tmp_path / "backups"), tmp_path / "lake", store_id=None).refused == []

    with closing(connect(tmp_path / "lake")) as lake:
        found = answer(lake, "SELECT job_id, status, due_at FROM attempts ORDER BY id")
    assert found == [("a", "completed", START), ("b", "completed", None)]


def test_a_lake_of_an_older_version_lacks_what_the_tables_have_got_since(tmp_path: Path):
    one = History(tmp_path, START)
    with one.store:
        one.enqueue("a", "scan", "crawler", max_attempts=1)
        one.send("jobs.fail", **one.claim(), error="no route", traceback="line 7")
        create_backup(tmp_path / "hyperpage.db", tmp_path / "backups", version="0")
    lake = tmp_path / "lake"
    export(list_backups(tmp_path / "backups"), lake, store_id=None)
    asked = "SELECT traceback FROM jobs_at(shown_position())"
    with closing(connect(lake)) as engine:
        assert answer(engine, asked) == [("line 7",)]
        assert answer(engine, "SELECT traceback FROM job_history_at(shown_position())") == [("line 7",)]

    manifest = read_manifest(lake)
    assert manifest is not None
    older = [
        msgspec.structs.replace(
            stretch, files={name: tuple(as_before(lake, *files)) for name, files in stretch.files.items()}
        )
        for stretch in manifest.stretches
    ]
    write_manifest(lake, msgspec.structs.replace(manifest, stretches=tuple(older)))

    with closing(connect(lake)) as engine:
        assert answer(engine, asked.replace("traceback", "error")) == [("no route",)]
        found = answer(engine, "SELECT count(*) FROM changes_between(1, shown_position())")
        assert found == [(2,)]
        with pytest.raises(duckdb.BinderException, match="traceback"):
            answer(engine, asked)


def as_before(lake: Path, *files: File) -> Iterator[File]:
    """Rewrites files of rows without the column of tracebacks."""
    for file in files:
        path = lake / file.path
        table = parquet.read_table(path)
        if "traceback" in table.column_names:
            parquet.write_table(table.drop_columns(["traceback"]), path)
        yield finished(lake, path, file.rows)
