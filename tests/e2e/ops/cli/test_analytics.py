"""`hyperpage analytics`, as an analyst types it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

from tests.support.services.command_line import hyperpage
from tests.support.stores.backing_up import Stored
from tests.support.stores.night import night_lake


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two backups, and a lake made from them."""
    folder = tmp_path_factory.mktemp("analytics") / "data"
    stored = Stored(folder)
    for _ in range(2):
        stored.work(60)
        stored.backup()
    stored.close()
    made = hyperpage("analytics", "export", "--data", folder, "--json")
    assert made.code == 0, made
    assert len(made.json["exported"]) == 2
    return folder


def test_a_second_export_has_nothing_left_to_write(data: Path):
    again = hyperpage("analytics", "export", "--data", data, "--json").json

    assert (again["exported"], len(again["known"]), again["events"]) == ([], 2, 0)


def test_an_answer_comes_as_json_csv_a_table_or_parquet(data: Path, tmp_path: Path):
    query = "SELECT stream, version, recorded_at FROM events ORDER BY position LIMIT 3"

    def ask(*options: str | Path) -> str:
        result = hyperpage("analytics", "sql", query, "--data", data, *options)
        assert result.code == 0, result
        return result.out

    rows = json.loads(ask("--format", "json"))
    assert [list(row) for row in rows] == [["stream", "version", "recorded_at"]] * 3
    assert json.loads(ask("--json")) == rows
    assert ask("--format", "csv").splitlines() == [
        "stream,version,recorded_at",
        *(f"{row['stream']},{row['version']},{row['recorded_at']}" for row in rows),
    ]
    assert all(row["stream"] in ask() for row in rows)
    ask("--format", "parquet", "--out", tmp_path / "answer.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "answer.parquet").to_pylist() == rows


def test_a_workbook_is_written_by_duckdbs_extension_alone_which_is_not_fetched(data: Path, tmp_path: Path):
    out = tmp_path / "jobs.xlsx"
    ask = ("analytics", "sql", "SELECT id, type FROM jobs ORDER BY id", "--data", data, "--format", "xlsx")

    assert hyperpage(*ask).code == 2
    # DuckDB looks for installed extensions in the home directory; this one has none.
    refused = hyperpage(*ask, "--out", out, HOME=str(tmp_path))
    with duckdb.connect() as engine:
        found = engine.execute(
            "SELECT install_mode FROM duckdb_extensions() WHERE extension_name = 'excel'"
        ).fetchall()
    if found == [("STATICALLY_LINKED",)]:
        assert refused.code == 0
        return
    assert refused.code == 1
    assert "extension excel is neither linked in nor installed" in refused.err
    assert "INSTALL excel" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_workbook_has_the_rows_of_the_answer(data: Path, tmp_path: Path):
    with duckdb.connect() as engine:
        try:
            engine.execute("SET autoinstall_known_extensions = false; LOAD excel")
        except duckdb.Error as error:
            pytest.skip(f"DuckDB's extension excel is not installed: {error}")
        out = tmp_path / "jobs.xlsx"
        query = "SELECT id, type FROM jobs ORDER BY id -- and a remark"
        assert (
            hyperpage("analytics", "sql", query, "--data", data, "--format", "xlsx", "--out", out).code == 0
        )
        rows = engine.execute(f"FROM read_xlsx('{out}')").fetchall()
    asked = hyperpage("analytics", "sql", query, "--data", data, "--json").json
    assert rows == [(row["id"], row["type"]) for row in asked]


def test_a_difference_is_told_by_tables_and_without_what_changes_with_every_event(data: Path):
    everything = hyperpage("analytics", "diff", "20", "90", "--data", data, "--json").json
    table, *_ = [table for table, one in everything.items() if one["changed"]]
    told = hyperpage("analytics", "diff", "20", "90", "--data", data, "--table", table)
    heading, *lines = told.out.splitlines()
    one = everything[table]
    counts = [f"{len(one[what])} {what}" for what in ("added", "removed", "changed") if one[what]]
    assert heading == f"{table}: {', '.join(counts)}"
    assert len(lines) == sum(map(len, one.values()))
    assert [line.split()[1] for line in lines if line.startswith("  ~ ")] == [
        each["key"] for each in one["changed"]
    ]
    assert "version:" not in told.out
    assert "updated_at" not in told.out
    assert not any(other in told.out for other in everything if other != table)
    unknown = hyperpage("analytics", "diff", "20", "90", "--data", data, "--table", "tools")
    assert (unknown.code, "there is no table tools" in unknown.err) == (3, True)
    assert "tool_configs" in unknown.err


def test_an_error_in_a_query_points_at_the_place(data: Path):
    result = hyperpage("analytics", "sql", "SELECT id,\n  nothing FROM jobs", "--data", data)

    assert result.code == 1
    assert "LINE 2:   nothing FROM jobs\n          ^" in result.err


def test_a_column_that_is_called_as_a_word_of_sql_is_explained(data: Path):
    for wrong in ("WHERE by = 'github'", "ORDER BY bucket, by"):
        refused = hyperpage("analytics", "sql", f"FROM failure_rate('tool') {wrong}", "--data", data)
        assert (refused.code, 'written "by"' in refused.err) == (1, True)
    other = hyperpage("analytics", "sql", "SELEC 1 GROUP BY ALL", "--data", data)
    assert "SHOW TABLES" in other.err


def test_times_are_shown_and_read_in_the_zone_that_is_named(data: Path):
    query = "SELECT time, recorded_at FROM events ORDER BY position LIMIT 1"
    zone = ("--time-zone", "Asia/Kolkata")

    [utc] = hyperpage("analytics", "sql", query, "--data", data, "--json").json
    [there] = hyperpage("analytics", "sql", query, "--data", data, *zone, "--json").json
    local = datetime.fromisoformat(there["time"])
    assert there["recorded_at"] == utc["recorded_at"]
    assert there["time"].endswith("+05:30")
    assert local.timestamp() == datetime.fromisoformat(utc["time"] + "+00:00").timestamp()
    shell = hyperpage(
        "analytics", "shell", "--data", data, *zone, stdin="SELECT current_setting('TimeZone');"
    )
    assert "Asia/Kolkata" in shell.out

    # A moment that says no zone of its own.
    written = (local + timedelta(seconds=5)).replace(tzinfo=None).isoformat()
    moments = hyperpage("analytics", "diff", "0", written, "--data", data, *zone, "--json")
    said = (datetime.fromisoformat(utc["time"]) + timedelta(seconds=5)).isoformat()
    assert moments.json == hyperpage("analytics", "diff", "0", said, "--data", data, "--json").json
    wrong = hyperpage("analytics", "sql", query, "--data", data, "--time-zone", "Mars/Olympus")
    assert (wrong.code, "'Mars/Olympus' is no time zone" in wrong.err) == (2, True)


def test_a_moment_that_is_yet_to_come_is_refused(data: Path):
    for moment in ("2100-01-01", "4711"):
        refused = hyperpage("analytics", "diff", "0", moment, "--data", data)
        assert refused.code == 2
        assert "error: the lake does not know of" in refused.err
        assert "`hyperpage analytics export` adds what came since" in refused.err
        assert "SHOW TABLES" not in refused.err
        assert moment in refused.err


def test_a_difference_is_readable(tmp_path: Path):
    lake = night_lake(tmp_path)
    tables = [option for name in ("tool_configs", "queues", "rate_limits") for option in ("--table", name)]
    told = hyperpage(
        "analytics", "diff", "2026-10-25 01:00", "2026-10-25 03:05", "--lake", lake,
        "--time-zone", "Europe/Berlin", *tables,
    )  # fmt: skip

    assert told.out.splitlines() == [
        "tool_configs: 1 changed",
        "  ~ gitlab  enabled: 1 → 0, config.rate: 1 → 9",
        "queues: 1 added",
        '  + slow  {"paused":1,"reason":"look","paused_at":"2026-10-25T02:20:00.000+01:00"}',
        "rate_limits: 1 added, 1 changed",
        '  + ratelimit:slack  {"platform":"slack","limit_remaining":50,"limit_total":100,'
        '"reset_time":"2026-10-25T02:00:00.000+02:00","created_at":"2026-10-25T01:06:00.000+02:00","limit_used":50,'
        '"observed_at":"2026-10-25T01:06:00.000+02:00","level":"normal","policy":"","warning_percent":80,'
        '"critical_percent":95,"reserved":0}',
        "  ~ ratelimit:github  limit_remaining: 0 → 90, reset_time: "
        '"2026-10-25T01:00:00.000+02:00" → "2026-10-25T02:00:00.000+02:00", limit_used: 100 → 10,'
        ' observed_at: "2026-10-25T00:20:00.000+02:00" → "2026-10-25T01:05:00.000+02:00",'
        ' level: "critical" → "normal"',
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY jobs TO '{path}'",
        "EXPLAIN ANALYZE COPY jobs TO '{path}'",
        "SELECT 1; COPY jobs TO '{path}'",
        "ATTACH '{path}'",
        "SET enable_external_access = true",
        "CREATE TABLE mine AS FROM jobs",
        "FROM read_text('{path}')",
        "",
    ],
)
def test_a_query_writes_nothing_and_reads_the_lake_alone(data: Path, tmp_path: Path, statement: str):
    path = tmp_path / "other"
    path.write_text("a secret")

    result = hyperpage("analytics", "sql", statement.format(path=path), "--data", data)

    assert result.code == 1
    assert "a secret" not in result.out
    assert path.read_text() == "a secret"


def test_without_a_lake_there_is_a_hint(tmp_path: Path):
    result = hyperpage("analytics", "sql", "SELECT 1", "--data", tmp_path)

    assert result.code == 3
    assert "hyperpage analytics export" in result.err
