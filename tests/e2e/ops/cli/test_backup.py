"""`hyperpage backup`, as an operator uses it: beside a running service, and to bring a store back."""

import json
from pathlib import Path

import pytest

from migrations.connection import open_writer
from tests.support.patience import wait_for
from tests.support.services.command_line import Served, hyperpage, separately


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two backups; its service is stopped."""
    data = tmp_path_factory.mktemp("backups") / "data"
    with Served(data) as service:
        for number in range(5):
            service.ask("send", "app_state.set", json.dumps({"key": f"k{number}", "value": number}))
        service.ask("backup", "create", "the first")
        for number in range(3):
            service.ask("send", "app_state.set", json.dumps({"key": f"k{number}", "value": "later"}))
        service.ask("backup", "create")
    return data


def test_a_backup_beside_the_running_service_is_told_with_its_metadata(tmp_path: Path):
    with Served(tmp_path / "data") as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        made = service.ask("backup", "create", "by hand")
        assert Path(made["path"]).is_file()
        assert made["metadata"]["position"] == 1
        assert made["metadata"]["description"] == "by hand"
        assert {"timeline", "size", "checksum", "timestamp", "store_id"} <= made["metadata"].keys()
        (listed,) = service.ask("backup", "list")
        assert (listed["name"], listed["status"]) == (Path(made["path"]).name, "good")
        assert service("backup", "drill").code == 0
        assert service.ask("backup", "list")[0]["status"] == "proven"
        wait_for(lambda: service.status["backups"]["last_proven"] == listed["name"])


def test_a_running_service_drains_restores_and_goes_on(tmp_path: Path):
    with Served(tmp_path / "data") as service:
        for number in range(4):
            service.ask("send", "app_state.set", json.dumps({"key": "k", "value": number}))
        service.ask("backup", "create")
        process, port = service.runtime["pid"], service.runtime["nats_url"]
        assert service("backup", "restore", "--to-position", "99", "--yes").code == 3

        done = service("backup", "restore", "--to-position", "2", "--yes", "--json")

        assert done.code == 0, done.err
        assert (done.json["position"], done.json["timeline"]) == (2, 2)
        assert Path(done.json["safety_backup"]).is_file()
        assert (service.runtime["pid"], service.runtime["nats_url"]) == (process, port)
        assert service.runtime["timeline"] == 2
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
        answer = service.ask("send", "app_state.set", '{"key": "k", "value": "after"}')
        assert (answer["position"], answer["timeline"]) == (4, 2)
        again = service.ask("backup", "restore", "--to-position", "2", "--yes")
        assert (again["position"], again["timeline"]) == (2, 3)
        wait_for(lambda: service.status["relay"]["position"] == 3)
        wait_for(lambda: service.status["status"] == "healthy")
        assert service.stop() == 0


def test_verify_says_whether_a_backup_is_sound(data: Path):
    newest, oldest = hyperpage("backup", "list", "--data", data, "--json").json
    sound = hyperpage("backup", "verify", oldest["name"], "--data", data, "--json")
    assert (sound.code, sound.json["valid"]) == (0, True)

    path = Path(newest["path"])
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    damaged = hyperpage("backup", "verify", newest["name"], "--data", data, "--json")
    assert (damaged.code, damaged.json["valid"], damaged.json["reason"]) == (6, False, "checksum_differs")
    assert "SHA-256" in hyperpage("backup", "verify", newest["name"], "--data", data).err
    assert hyperpage("backup", "list", "--data", data, "--json").json[0]["status"] == "damaged"
    path.write_bytes(content)
    assert hyperpage("backup", "verify", newest["name"], "--data", data).code == 0
    assert hyperpage("backup", "list", "--data", data, "--json").json[0]["status"] == "good"

    assert hyperpage("backup", "verify", "no-such.db", "--data", data).code == 3


def test_a_restore_brings_the_state_back_and_says_what_it_did(data: Path):
    assert hyperpage("backup", "restore", "--data", data).code == 2
    planned = hyperpage("backup", "restore", "--to-position", "5", "--dry-run", "--data", data, "--json").json
    assert (planned["position"], planned["timeline"], planned["events_lost"]) == (5, 2, 3)

    done = hyperpage("backup", "restore", "--to-position", "5", "--yes", "--data", data, "--json")
    assert done.code == 0, done.err
    assert (done.json["position"], done.json["timeline"]) == (5, 2)
    assert Path(done.json["safety_backup"]).is_file()
    assert hyperpage("projections", "verify", "--data", data).code == 0
    with Served(data) as service:
        assert service.runtime["timeline"] == 2
        assert service.ask("query", "app_state.get", '{"key": "k0"}')["value"] == 0
        # The stream and the mirrors follow: the fork is the sixth event, and the first of its timeline.
        wait_for(lambda: service.status["relay"]["position"] == 6)
        events = service.ask("query", "events.read", '{"after": 5}')["items"]
        assert [(one["id"], one["type"]) for one in events] == [("2-6", "hyperpage.timeline.forked.v1")]
        wait_for(lambda: service.status["status"] == "healthy")


def test_what_cannot_be_restored_is_told(data: Path):
    for arguments, code in (
        (("no-such.db",), 3),
        (("--to-position", "999"), 3),
        (("--to-time", "yesterday"), 2),
        (("--to-time", "2026-01-01T00:00:00"), 2),
        (("--to-time", "1", "--to-position", "1"), 2),
    ):
        result = hyperpage("backup", "restore", *arguments, "--yes", "--data", data)
        assert (result.code, result.err.startswith("error: ")) == (code, True), arguments


def test_pruning_keeps_what_is_pinned_newest_or_young(data: Path):
    names = [one["name"] for one in hyperpage("backup", "list", "--data", data, "--json").json]
    young = hyperpage("backup", "prune", "--data", data, "--json").json
    assert young["removed"] == []
    hyperpage("backup", "pin", names[-1], "--data", data)
    variables = {"HYPERPAGE_BACKUP_RETENTION_DAYS": "0", "HYPERPAGE_BACKUP_KEEP_NEWEST": "1"}
    would = hyperpage("backup", "prune", "--dry-run", "--data", data, "--json", **variables).json
    assert would["removed"] == names[1:-1]
    assert would["kept"] == {names[0]: "the newest", names[-1]: "pinned"}
    assert hyperpage("backup", "prune", "--data", data, **variables).code == 0
    left = hyperpage("backup", "list", "--data", data, "--json").json
    assert [one["name"] for one in left] == [names[0], names[-1]]
    assert not list((data / "backups").glob(f"{names[1]}*")) or len(names) == 2
    hyperpage("backup", "unpin", names[-1], "--data", data)


def crash(service: Served) -> None:
    """Ends it as a power cut does, with everything on disk that was answered."""
    service.process.kill()
    service.process.wait()


def damage(store: Path) -> bytes:
    """Overwrites what is behind the first pages of the file; what it is then."""
    # All of it in one file, as it is most of the time.
    open_writer(store).close()
    content = bytearray(store.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    store.write_bytes(content)
    return bytes(content)


def test_a_damaged_file_is_found_after_a_crash_and_brought_back_on_demand(tmp_path: Path):
    data = tmp_path / "data"
    store = data / "hyperpage.db"
    with Served(data) as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        service.ask("backup", "create")
        service.ask("send", "app_state.set", '{"key": "k", "value": 2}')
        wait_for(lambda: service.status["archive"]["position"] == 2)
        crash(service)
    damaged = damage(store)

    refused = separately("serve", "--data", data, "--nats-port", "0")
    assert refused.code == 1
    assert "damaged" in refused.err
    assert f"hyperpage backup restore --latest --yes --data {data}" in refused.err
    assert store.read_bytes() == damaged

    with Served(data, HYPERPAGE_RESTORE_WHEN_DAMAGED="true") as service:
        assert service.runtime["timeline"] == 2
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert service("projections", "verify").code == 0
    (kept,) = data.glob("hyperpage.db.set-aside-*[0-9]")
    assert kept.read_bytes() == damaged


def test_a_damaged_file_is_brought_back_by_hand(tmp_path: Path):
    data = tmp_path / "data"
    with Served(data) as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        service.ask("backup", "create")
        crash(service)
    damage(data / "hyperpage.db")

    done = hyperpage("backup", "restore", "--latest", "--yes", "--data", data, "--json")

    assert done.code == 0, done.err
    assert done.json["set_aside"] is not None
    with Served(data) as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
