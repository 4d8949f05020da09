"""`hyperpage doctor`: what it looks at, what it finds, what it says to do, and its exit codes."""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pyrage
import pytest

from bus.log import chain
from ops import deploy
from ops.doctor.finding import DoctorFinding
from ops.doctor.running import OVERDUE_SECONDS, WARM_AFTER_COMMANDS, look_at_service
from ops.health.access import HTTP_OPEN
from ops.settings import Settings
from tests.support.machines.bucket_server import CREDENTIALS, BucketServer
from tests.support.patience import wait_for
from tests.support.services.command_line import Result, Served, hyperpage

LOOKED_AT = {
    "audit",
    "service",
    "rights",
    "room",
    "disk_sync",
    "migrations",
    "size",
    "reading",
    "integrity",
    "backup",
}


def findings(result: Result) -> dict[str, dict[str, Any]]:
    """The findings, by the name of the check."""
    return {one["check"]: one for one in result.json["findings"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped store with some rows, which no test changes."""
    folder = tmp_path_factory.mktemp("made") / "data"
    with Served(folder, "--no-http") as service:
        commands = [
            {"command": "app_state.set", "body": {"key": f"key-{number}", "value": "x" * 100}}
            for number in range(300)
        ]
        service.ask("send", "batch", json.dumps({"atomic": True, "commands": commands}))
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """The same, for one test alone."""
    return shutil.copytree(made, tmp_path / "data")


def test_all_is_well_beside_a_running_service_and_its_backup_is_proven(tmp_path: Path):
    with Served(tmp_path / "data") as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        report = service.ask("doctor")
        assert report["status"] == "well"
        found = {one["check"]: one for one in report["findings"]}
        assert found.keys() == LOOKED_AT | {"jobs", "reach"}
        (backup,) = service.ask("backup", "list")
        assert (backup["name"], backup["status"]) == (found["backup"]["figures"]["name"], "proven")
        assert backup["metadata"]["checks"].keys() >= {"checksum", "integrity_check", "chain", "tables"}
        assert found["reach"]["figures"]["position"] == found["service"]["figures"]["position"] == 1
        assert 0 < found["disk_sync"]["figures"]["median_ms"] <= found["disk_sync"]["figures"]["worst_ms"]

        quick = service("doctor", "--quick")
        assert quick.code == 0
        assert "integrity" not in quick.out
        assert quick.out.splitlines()[-1] == "All is well."
        assert len(service.ask("backup", "list")) == 1


def test_what_the_service_complains_of_is_told_with_what_to_do(tmp_path: Path):
    with Served(tmp_path / "data", HYPERPAGE_MEMORY_DEGRADED_PERCENT="0.001") as service:
        refused = service("send", "app_state.set", '{"kye": 1}', "--durable", "--id", "dead-1")
        assert refused.code == 1

        wait_for(lambda: service("status", "--json").json["broker"]["dead_letters"])

        result = service("doctor", "--quick", "--json")

        assert (result.code, result.json["status"]) == (1, "attention")
        found = findings(result)
        assert "HYPERPAGE_HOT_AGGREGATES_KIB" in found["service.memory_high"]["hint"]
        assert "hyperpage dlq list" in found["dead_letters"]["hint"]
        shown = service("doctor", "--quick").out
        assert "!!  service.memory_high: " in shown
        assert "      what to do: lower HYPERPAGE_HOT_AGGREGATES_KIB" in shown


def test_damage_in_the_file_is_found_and_no_backup_is_made_of_it(data: Path):
    with closing(apsw.Connection(str(data / "hyperpage.db"))) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'app_state'").get
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (data / "hyperpage.db").open("r+b") as file:
        # Within the page, so that its header stays valid.
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)

    result = hyperpage("doctor", "--data", data, "--json")

    assert (result.code, result.json["status"]) == (6, "wrong")
    found = findings(result)
    assert "hyperpage backup restore --latest --yes" in found["integrity"]["hint"]
    assert found["backup"]["level"] == "wrong"
    assert hyperpage("backup", "list", "--data", data, "--json").json == []


def test_an_index_that_lacks_a_row_is_found_which_only_the_whole_check_does(data: Path):
    with closing(apsw.Connection(str(data / "hyperpage.db"))) as connection:
        connection.execute("CREATE TABLE spare (a); CREATE INDEX spare_a ON spare (a)")
        # The index is forgotten while a row is added, and remembered afterwards.
        connection.execute("PRAGMA writable_schema = on")
        (kept,) = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'spare_a'").fetchall()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'spare_a'")
    with closing(apsw.Connection(str(data / "hyperpage.db"))) as connection:
        connection.execute("INSERT INTO spare VALUES (1)")
        connection.execute("PRAGMA writable_schema = on")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", kept)

    result = hyperpage("doctor", "--data", data, "--json")

    assert result.code == 6
    assert "missing from index spare_a" in findings(result)["integrity"]["message"]


def test_a_row_that_no_event_explains_makes_the_backup_one_that_is_not_proven(data: Path):
    with closing(apsw.Connection(str(data / "hyperpage.db"))) as connection:
        connection.execute("""UPDATE app_state SET value = '"light"' WHERE key = 'key-7'""")

    result = hyperpage("doctor", "--data", data, "--json")

    assert result.code == 6
    found = findings(result)
    assert found["integrity"]["level"] == "well"
    assert "app_state" in found["backup"]["message"]
    assert "hyperpage projections rebuild" in found["backup"]["hint"]


def test_a_schema_that_was_taken_once_and_would_not_be_today_is_named(data: Path):
    register = {"tool_name": "tidy", "schema": {"type": "object"}}
    with Served(data, "--no-http") as service:
        service.ask("send", "tool_configs.register_schema", json.dumps(register))
        (found,) = [one for one in service.ask("doctor", "--quick")["findings"] if one["check"] == "schemas"]
        assert (found["level"], found["figures"]) == ("well", {"schemas": 1, "refused": 0})
    with closing(apsw.Connection(str(data / "hyperpage.db"))) as connection:
        registered = chain.Entry(
            stream="tool_configs/old",
            version=1,
            type="tool_config.schema_registered.v1",
            command_id=None,
            data='{"schema": {"items": {"pattern": "(?<=a)(?=[ab]*c)x"}}}',
            metadata=None,
        )
        head = chain.read_head(connection)
        with connection:
            chain.insert(connection, chain.extend(head, [registered], head.recorded_at)[0])

    with Served(data, "--no-http") as service:
        (found,) = [
            one
            for one in service("doctor", "--quick", "--json").json["findings"]
            if one["check"] == "schemas"
        ]
        assert (found["level"], found["figures"]) == ("attention", {"schemas": 2, "refused": 1})
        assert "old: a regular expression has no lookaround" in found["message"]
        body = {"tool_name": "old", "config": {"a": "a" * 40_000}}
        refused = service("send", "tool_configs.set", json.dumps(body))
        assert "would be refused today" in refused.err
        service.ask("send", "tool_configs.remove_schema", '{"tool_name": "old"}')
        service.ask("send", "tool_configs.set", json.dumps(body))


def test_folders_that_others_may_read_and_little_room_need_attention(data: Path):
    data.chmod(0o755)
    result = hyperpage("doctor", "--data", data, "--json", HYPERPAGE_DISK_FREE_DEGRADED_MIB=str(2**40))
    assert (result.code, result.json["status"]) == (1, "attention")
    found = findings(result)
    assert found["rights"]["hint"] == f"chmod go-rwx {data}"
    assert "make room" in found["room"]["hint"]
    assert found["backup"]["level"] == "well"


def test_a_backup_for_which_there_is_no_room_or_no_folder_is_told(data: Path, tmp_path: Path):
    full = hyperpage("doctor", "--data", data, "--json", HYPERPAGE_DISK_FREE_UNHEALTHY_MIB=str(2**40))
    assert full.code == 6
    assert "make room" in findings(full)["backup"]["hint"]
    (tmp_path / "in the way").write_text("")
    nowhere = hyperpage("doctor", "--data", data, "--json", HYPERPAGE_BACKUPS=str(tmp_path / "in the way"))
    assert nowhere.code == 6
    assert "`backups`" in findings(nowhere)["backup"]["hint"]


def test_a_backup_that_is_encrypted_is_proven_before_it_is(data: Path):
    key = str(pyrage.x25519.Identity.generate().to_public())
    result = hyperpage("doctor", "--data", data, "--json", HYPERPAGE_ENCRYPT_TO=key)
    assert (result.code, result.json["status"]) == (0, "well")
    (backup,) = hyperpage("backup", "list", "--data", data, "--json").json
    assert (backup["metadata"]["recipients"], backup["status"]) == ([key], "proven")


def test_a_store_of_an_older_shape_and_what_is_no_backup_are_told(data: Path):
    assert hyperpage("migrate", "down", "--data", data).code == 0
    (data / "backups").mkdir(exist_ok=True)
    (data / "backups" / "hyperpage-backup-20200101T000000000Z.db").write_bytes(b"half a file")
    result = hyperpage("doctor", "--quick", "--data", data, "--json")
    assert result.code == 1
    found = findings(result)
    assert "hyperpage migrate up" in found["migrations"]["hint"]
    assert "hyperpage-backup-20200101T000000000Z.db" in found["old_backups"]["message"]


def test_where_there_is_no_store_there_is_nothing_to_look_at(tmp_path: Path):
    assert hyperpage("doctor", "--data", tmp_path / "data").code == 3
    assert not (tmp_path / "data").exists()


def test_a_service_that_nobody_needs_a_token_for_wants_attention():
    report = {"status": "healthy", "reasons": [], "notes": [msgspec.to_builtins(HTTP_OPEN)]}
    [finding, *_] = look_at_service(report)
    assert (finding.check, finding.level) == ("service.http_open", "attention")
    assert "--http-open" in finding.hint


def test_a_cache_that_is_too_small_is_told_once_it_is_warm():
    def found(commands: int) -> list[str]:
        report: dict[str, Any] = {
            "status": "healthy",
            "position": 1,
            "version": "0",
            "store": {"cache_hit_rate": 0.2, "query_ms": 0.1},
            "writer": {"commands": commands, "groups": 1},
            "memory": {"resident_bytes": 1},
            "broker": {"dead_letters": 0},
        }
        return [one.check for one in look_at_service(report)]

    assert found(WARM_AFTER_COMMANDS - 1) == ["service"]
    assert found(WARM_AFTER_COMMANDS) == ["service", "cache"]
    assert "writer_cache_kib" in Settings.__struct_fields__


def test_a_job_that_nobody_begins_wants_attention():
    def found(seconds: float, due: int = 1_200, failed: int = 3) -> DoctorFinding:
        jobs = {
            "due": due,
            "oldest_overdue_seconds": seconds,
            "oldest_overdue_queue": "mails",
            "failed_attempts_in_an_hour": failed,
        }
        report: dict[str, Any] = {
            "causes": [{"cause": "disk_low", "level": "degraded", "message": "little is free"}],
            "jobs": jobs,
            "store": {"cache_hit_rate": None},
            "writer": None,
            "broker": {"dead_letters": 0},
        }
        [finding] = [one for one in look_at_service(report) if one.check == "jobs"]
        return finding

    late = found(901)
    assert (late.level, late.message) == (
        "attention",
        "1,200 jobs are due, the oldest for 901 s; 3 attempts failed in the last hour",
    )
    assert "mails" in late.hint
    assert (found(900).level, found(900).hint) == ("well", "")
    assert found(1, due=1, failed=1).message == (
        "1 job is due, the oldest for 1 s; 1 attempt failed in the last hour"
    )
    assert found(0, due=0, failed=0).message == "0 jobs are due; 0 attempts failed in the last hour"


def test_a_job_is_overdue_for_the_doctor_when_it_is_for_the_alert():
    rules = (Path(deploy.__file__).parent / "alert-rules.yml").read_text(encoding="utf-8")
    assert f"expr: hyperpage_jobs_oldest_overdue_seconds > {OVERDUE_SECONDS}\n" in rules


def test_backups_in_a_bucket_are_made_and_proven_and_a_bucket_that_is_away_is_told(
    data: Path, bucket_server: BucketServer
):
    variables = {"HYPERPAGE_BACKUPS": f"{bucket_server.new_bucket()}/backups", **CREDENTIALS}
    there = hyperpage(
        "doctor", "--data", data, "--json", HYPERPAGE_S3_ENDPOINT=bucket_server.endpoint, **variables
    )
    assert (there.code, there.json["status"]) == (0, "well"), there.json
    assert findings(there)["reach"]["figures"]["position"] == 300
    assert findings(there)["reach"]["hint"] == ""

    away = hyperpage(
        "doctor", "--data", data, "--json", HYPERPAGE_S3_ENDPOINT="http://127.0.0.1:9", **variables
    )
    assert away.code == 6
    assert findings(away)["backup"]["level"] == findings(away)["reach"]["level"] == "wrong"
