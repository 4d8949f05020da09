"""`hyperpage serve`: how a service starts, ends, and says why it cannot."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import Served, hyperpage, running, separately


def test_the_ready_line_is_what_runtime_json_says(served):
    assert json.loads(served.ready_line) == served.runtime
    assert served.runtime["nats_url"].startswith("nats://app:")
    assert (served.data / "runtime.json").stat().st_mode & 0o777 == 0o600


def test_a_directory_and_files_that_were_open_keep_their_secrets_and_the_doctor_names_them(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with Served(data) as service:
        service.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
        service.ask("backup", "create")
    for file in (data, data / "backups", data / "hyperpage.db", *(data / "backups").iterdir()):
        file.chmod(0o755)
    found = {
        one["check"]: one for one in hyperpage("doctor", "--quick", "--data", data, "--json").json["findings"]
    }
    assert str(data / "hyperpage.db") in found["rights"]["figures"]["open"]
    with Served(data) as service:
        open_ones = [one for one in data.rglob("*") if one.stat().st_mode & 0o077]
        assert open_ones == []
        assert f"others on this machine could use {data / 'hyperpage.db'}" in service.log.read_text()
    # The service leaves the permissions of the directory itself to its owner.
    assert data.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
def test_what_it_writes_is_for_its_owner_alone_and_its_memory_for_nobody(served):
    process = Path(f"/proc/{served.process.pid}")
    assert re.search(r"^Umask:\s+0077$", (process / "status").read_text(), re.MULTILINE)
    assert re.search(r"^Max core file size\s+0\s+0\s", (process / "limits").read_text(), re.MULTILINE)
    asked = (
        "import ctypes; from ops.service.process import keep_memory_private as keep;"
        " get = lambda: ctypes.CDLL(None).prctl(3); print(get()); keep(); print(get())"
    )
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "0"]


def test_a_second_service_on_the_directory_is_refused(served):
    second = separately("serve", "--data", served.data)
    assert (second.code, second.out) == (1, "")
    said = f"error: {served.data} is in use by another service (process {served.process.pid})"
    assert second.err.startswith(said)
    assert "--data" in second.err


def test_sigterm_drains_and_exits_with_0_and_a_killed_service_starts_again(tmp_path):
    body = '{"key": "theme", "value": "dark"}'
    with Served(tmp_path / "data") as service:
        answer = service.ask("send", "app_state.set", body, "--id", "1")
        service.stop(signal.SIGKILL)
        gone = service("status", "--json")
        assert (gone.code, gone.json["status"]) == (5, "unhealthy")
        assert "does not answer" in gone.err
    with Served(tmp_path / "data") as service:
        assert service.ask("send", "app_state.set", body, "--id", "1") == answer
        assert service.stop() == 0
        assert not (service.data / "runtime.json").exists()
        assert "Traceback" not in service.log.read_text()
    assert hyperpage("projections", "verify", "--data", service.data).code == 0


def test_the_readable_ready_line_shows_no_password(tmp_path):
    process = running("serve", "--data", tmp_path / "data", "--nats-port", "0")
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert line.startswith("hyperpage ")
    assert "nats://127.0.0.1:" in line
    assert "@" not in line


@pytest.mark.parametrize("made_first", ["hyperpage.db", "nats/nats-server.conf", "nats/port"])
def test_a_service_that_is_told_to_stop_while_it_starts_ends_in_order(tmp_path, made_first):
    process = running("serve", "--data", tmp_path / "data", "--nats-port", "0")
    with process:
        wait_for((tmp_path / "data" / made_first).exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "data" / "runtime.json").exists()


def test_a_service_that_is_told_to_stop_while_it_waits_for_others_gives_its_start_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        process = running("serve", "--data", tmp_path / "data", "--nats", url)
        with process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
            assert process.stderr is not None
            assert "the start is given up" in process.stderr.read()
    assert not (tmp_path / "data" / "runtime.json").exists()


def prepare_nothing(data: Path) -> None:
    """The directory is not there yet."""


def prepare_foreign_file(data: Path) -> None:
    data.mkdir()
    (data / "hyperpage.db").write_bytes(b"not a database, and long enough to be looked at" * 100)


def prepare_edited_migration(data: Path) -> None:
    assert hyperpage("migrate", "up", "--data", data).code == 0
    connection = apsw.Connection(str(data / "hyperpage.db"))
    connection.execute("UPDATE schema_migrations SET checksum = 'edited'")
    connection.close()


def prepare_file_of_the_system_before(data: Path) -> None:
    data.mkdir()
    connection = apsw.Connection(str(data / "hyperpage.db"))
    connection.execute("CREATE TABLE schema_migrations (id INTEGER PRIMARY KEY, migration_name TEXT)")
    connection.close()


def prepare_file_in_its_place(data: Path) -> None:
    data.write_text("")


@pytest.mark.parametrize(
    ("prepare", "options", "code", "said"),
    [
        (prepare_foreign_file, (), 1, "file is not a database"),
        (prepare_edited_migration, (), 1, "is not the one that was applied to this file"),
        (prepare_file_of_the_system_before, (), 1, "records no checksums of its migrations"),
        (prepare_file_in_its_place, (), 1, "File exists"),
        (prepare_nothing, ("--prefix", "a b"), 2, "'a b' is no prefix of subjects"),
        (prepare_nothing, ("--nats-port", "70000"), 2, "--nats-port: Expected `int` <= 65535"),
    ],
)
def test_a_service_that_cannot_start_says_why_on_one_line_and_what_to_do_on_the_next(
    tmp_path, prepare, options, code, said
):
    prepare(tmp_path / "data")
    for file in (tmp_path / "data").glob("*"):
        # Otherwise the service also warns that others could use the file.
        file.chmod(0o600)
    result = separately("serve", "--data", tmp_path / "data", *options)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    error, *hints = result.err.splitlines()
    assert error.startswith("error: ")
    assert [hint.partition(" ")[0] for hint in hints] in ([], ["hint:"])


def test_a_port_that_is_taken_is_said_so(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = separately("serve", "--data", tmp_path / "data", "--nats-port", str(port))
    assert result.code == 1
    assert f"error: port {port} of 127.0.0.1 cannot be used" in result.err
    assert "Traceback" not in result.err
