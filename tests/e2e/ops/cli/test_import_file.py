"""`hyperpage import`, as it is typed in."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.services.command_line import PROGRAM, Served, environment, hyperpage
from tests.support.stores.old_databases import (
    APP_STATE,
    CREATED,
    JOB,
    RATE_LIMIT,
    TOOL_CONFIG,
    insert,
    old_database,
    select,
    writing_to,
)

TWICE = APP_STATE | {"key": "twice", "value": '{"a":1,"a":2}'}


def test_an_imported_job_that_waits_is_claimed_from_the_service(tmp_path):
    old = old_database(
        tmp_path / "old.db", jobs=[JOB, JOB | {"id": "ran", "status": "running", "started_at": 1}]
    )
    assert hyperpage("import", old, "--data", tmp_path / "data").code == 0

    with Served(tmp_path / "data") as service:
        claimed = service.ask("send", "jobs.claim", '{"worker": "w", "limit": 2}')["result"]["jobs"]
        assert {(one["id"], one["created_at"], one["attempt"]) for one in claimed} == {
            ("one", CREATED, 1),
            ("ran", CREATED, 2),
        }
        history = service.ask("query", "jobs.history", '{"id": "one"}')["items"]
        assert [one["type"] for one in history] == ["hyperpage.job.imported.v1", "hyperpage.job.claimed.v1"]
        assert history[0]["actor"] == "import"
        assert service("projections", "verify").code == 0


def test_a_running_service_imports_by_itself(tmp_path):
    old = old_database(
        tmp_path / "old.db",
        jobs=[JOB],
        job_history=[{"job_id": "one", "attempt": 1, "status": "failed"}],
        rate_limits=[RATE_LIMIT],
        tool_configs=[TOOL_CONFIG],
        app_state=[APP_STATE, TWICE],
    )
    with Served(tmp_path / "data") as service:
        expected = service("import", old, "--dry-run", "--json")
        result = service("import", old, "--json")
        assert (result.code, expected.code) == (1, 1)
        assert result.json["tables"] == expected.json["tables"]
        assert [(one["table"], one["id"]) for one in result.json["not_taken"]] == [("app_state", "twice")]
        assert (
            service.ask("query", "app_state.get", '{"key": "theme"}')["updated_at"] == APP_STATE["updated_at"]
        )
        (attempt,) = service.ask("query", "jobs.attempts", '{"id": "one"}')["items"]
        assert (attempt["attempt"], attempt["status"]) == (1, "failed")
        (claimed,) = service.ask("send", "jobs.claim", '{"worker": "w"}')["result"]["jobs"]
        assert claimed["id"] == "one"

        again = service("import", old, "--json").json
        assert again["tables"]["jobs"] == {"rows": 1, "imported": 0, "unchanged": 1, "not_taken": 0}
        missing = service("import", tmp_path / "missing.db", "--json")
        assert (missing.code, missing.json["error"]["code"]) == (3, "not_found")
        assert service("projections", "verify").code == 0


def test_people_get_a_table_and_the_reasons(tmp_path):
    old = old_database(tmp_path / "old.db", app_state=[APP_STATE, TWICE | {"key": "two\nlines"}, TWICE])
    result = hyperpage("import", old, "--data", tmp_path / "data")
    assert result.code == 1
    assert "app_state     3     1         0          2" in result.out
    assert '  app_state "twice": value is not JSON' in result.out
    assert '  app_state "two\\nlines": value is not JSON' in result.out
    assert "The log ends at position 1." in result.out


def test_a_foreign_file_is_refused_and_no_store_is_made_for_it(tmp_path):
    (tmp_path / "foreign.db").write_text("not a database")
    result = hyperpage("import", tmp_path / "foreign.db", "--data", tmp_path / "data")
    assert result.code == 1
    assert "is not an SQLite database" in result.err
    assert not (tmp_path / "data").exists()
    assert hyperpage("import", tmp_path / "missing.db", "--data", tmp_path / "data").code == 3
    assert hyperpage("import", "--data", tmp_path / "data").code != 0


def test_an_old_file_in_the_place_of_the_store_is_left_there_and_the_import_named(tmp_path):
    (tmp_path / "data").mkdir()
    old = old_database(tmp_path / "data" / "hyperpage.db", app_state=[APP_STATE])
    before = old.read_bytes()
    for command in (["import", old], ["import", old, "--dry-run"], ["migrate", "up"]):
        result = hyperpage(*command, "--data", tmp_path / "data")
        assert result.code == 1
        assert "hyperpage import FILE --data DIR" in result.err
    assert old.read_bytes() == before
    assert hyperpage("import", old, "--data", tmp_path / "new").code == 0


PAYLOAD = '"' + 200 * "some words " + '"'


def peak_kib(old: Path, data: Path) -> int:
    """How much memory an import took at most, in a process of its own."""
    process = subprocess.Popen(
        [*PROGRAM, "import", str(old), "--data", str(data)],
        env=environment(HYPERPAGE_WRITER_CACHE_KIB="4096"),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


# Many times what it takes where nothing else runs.
@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_large_file_is_imported_in_bounded_memory(tmp_path):
    small = old_database(tmp_path / "small.db", jobs=[JOB])
    large = old_database(tmp_path / "large.db")
    connection = writing_to(large)
    jobs = (JOB | {"id": f"job-{number}", "payload": PAYLOAD} for number in range(50_000))
    history = ({"job_id": f"job-{number}", "attempt": 1, "status": "failed"} for number in range(10_000))
    insert(connection, jobs=jobs, job_history=history)
    connection.close()
    assert large.stat().st_size > 100_000_000

    growth_kib = peak_kib(large, tmp_path / "large") - peak_kib(small, tmp_path / "small")
    assert growth_kib < 60_000
    assert select(tmp_path / "large" / "hyperpage.db", "jobs", ["count(*)"]) == [{"count(*)": 50_000}]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_stale_runtime_file_does_not_stand_in_the_way(tmp_path, options):
    old = old_database(tmp_path / "old.db", jobs=[JOB])
    with Served(tmp_path / "data") as service:
        runtime = (tmp_path / "data" / "runtime.json").read_text()
        service.stop()
    (tmp_path / "data" / "runtime.json").write_text(runtime)
    assert hyperpage("import", old, "--data", tmp_path / "data", *options).code == 0
