"""The command line against a served directory: what it prints, and how it ends."""

import inspect
import json
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from cyclopts import App

from ops.cli import application
from tests.e2e.command_line import Served, environment, hyperpage, running, wait_for


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served") / "data") as service:
        yield service


# The life of a service


def test_the_ready_line_is_what_runtime_json_says(served):
    assert json.loads(served.ready_line) == served.runtime
    assert served.runtime["nats_url"].startswith("nats://app:")
    assert (served.data / "runtime.json").stat().st_mode & 0o777 == 0o600


def test_a_second_service_on_the_directory_is_refused(served):
    second = hyperpage("serve", "--data", served.data)
    assert (second.code, second.out) == (1, "")
    assert second.err == f"error: {served.data} is in use by another service (process {served.process.pid})\n"


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


def prepare_file_in_its_place(data: Path) -> None:
    data.write_text("")


@pytest.mark.parametrize(
    ("prepare", "options", "code", "said"),
    [
        (prepare_foreign_file, (), 1, "file is not a database"),
        (prepare_edited_migration, (), 1, "is not the one that was applied to this file"),
        (prepare_file_in_its_place, (), 1, "File exists"),
        (prepare_nothing, ("--prefix", "a b"), 2, "'a b' is no prefix of subjects"),
        (prepare_nothing, ("--nats-port", "70000"), 2, "--nats-port: Expected `int` <= 65535"),
    ],
)
def test_a_service_that_cannot_start_says_why_on_one_line(tmp_path, prepare, options, code, said):
    prepare(tmp_path / "data")
    result = hyperpage("serve", "--data", tmp_path / "data", *options)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


def test_a_port_that_is_taken_is_said_so(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = hyperpage("serve", "--data", tmp_path / "data", "--nats-port", str(port))
    assert result.code == 1
    assert f"error: port {port} of 127.0.0.1 cannot be used" in result.err
    assert "Traceback" not in result.err


# Messages


def test_an_accepted_command_is_summed_up_on_one_line(served):
    result = served("send", "app_state.set", '{"key": "line", "value": 1}', "--actor", "ann")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Accepted: app_state.set.v1  app_state/line version 1  position ")
    events = served.ask("query", "app_state.history", '{"key": "line"}')["items"]
    assert [event["actor"] for event in events] == ["ann"]


def test_the_same_command_id_gets_the_same_answer_and_with_another_body_is_refused(served):
    first = served("send", "app_state.set", '{"key": "id", "value": 1}', "--id", "id-1", "--json")
    again = served("send", "app_state.set", '{"key": "id", "value": 1}', "--id", "id-1", "--json")
    other = served("send", "app_state.set", '{"key": "id", "value": 2}', "--id", "id-1", "--json")
    assert first == again
    assert list(first.json) == [
        "command_id", "stream", "version", "position", "timeline", "events", "result",
    ]  # fmt: skip
    assert (other.code, other.json["error"]["code"]) == (1, "command_id_reused")


def test_a_body_comes_from_the_command_line_a_file_or_standard_input(served, tmp_path):
    file = tmp_path / "body.json"
    file.write_text('{"type": "sync", "name": "from a file", "id": "file"}', encoding="utf-8")
    assert served.ask("send", "jobs.enqueue", f"@{file}")["stream"] == "jobs/file"
    result = served("send", "jobs.enqueue", "-", stdin='{"type": "sync", "name": "x", "id": "stdin"}')
    assert "jobs/stdin" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "error_code"),
    [
        (("send", "app_state.delete", '{"key": "nothing"}'), 3, "not_found"),
        (("send", "jobs.frobnicate"), 3, "not_found"),
        (("query", "jobs.get", '{"id": "nobody"}'), 3, "not_found"),
        (
            ("send", "app_state.set", '{"key": "v", "value": 1}', "--expected-version", "7"),
            4,
            "version_conflict",
        ),
        (("send", "jobs.claim", '{"worker": 1}'), 1, "invalid"),
    ],
)
def test_what_is_refused_exits_with_the_code_of_its_error(served, arguments, code, error_code):
    result = served(*arguments, "--json")
    assert (result.code, result.json["error"]["code"]) == (code, error_code)
    assert result.err.startswith(f"error: {result.json['error']['message']}")


def test_a_batch_with_a_refused_command_exits_with_1_and_shows_each_outcome(served):
    commands = [
        {"command": "app_state.set", "body": {"key": "batch", "value": 1}},
        {"command": "app_state.delete", "body": {"key": "nothing"}},
    ]
    result = served("send", "batch", "-", stdin=json.dumps({"commands": commands}))
    accepted, refused = result.out.splitlines()
    assert result.code == 1
    assert accepted.startswith("Accepted: app_state.set.v1  app_state/batch version 1")
    assert refused == "refused (not_found): nothing holds nothing"


@pytest.mark.parametrize(
    "arguments",
    [
        ("send",),
        ("send", "jobs"),
        ("send", "jobs.enqueue", "{'type': 1}"),
        ("send", "jobs.enqueue", "@/nowhere/at/all"),
        ("send", "jobs.enqueue", "--frobnicate"),
        ("send", "jobs.enqueue", "{}", "--expected-version", "many"),
        ("tail", "--table", "jobs", "--stream", "jobs/1"),
        ("dlq", "drop", "--all"),
        ("dlq", "replay"),
        ("frobnicate",),
    ],
)
def test_what_makes_no_sense_exits_with_2(tmp_path, arguments):
    result = hyperpage(*arguments, HYPERPAGE_DATA=str(tmp_path))
    assert (result.code, result.out) == (2, "")
    assert result.err
    assert "Traceback" not in result.err


def test_a_durable_command_is_answered_like_any_other(served):
    answer = served.ask("send", "app_state.set", '{"key": "durable", "value": 1}', "--durable", "--id", "d-1")
    assert (answer["command_id"], answer["stream"]) == ("d-1", "app_state/durable")
    assert served("send", "app_state.delete", '{"key": "nothing"}', "--durable").code == 3


def test_rows_are_shown_as_a_table_and_one_row_by_its_members(served):
    served.ask("send", "tool_configs.set", '{"tool_name": "github", "config": {"page_size": 50}}')
    table = served("query", "tool_configs.list").out.splitlines()
    assert table[0].split()[:4] == ["TOOL_NAME", "ENABLED", "CONFIG", "NOTIFICATIONS"]
    assert table[1].split()[:4] == ["github", "true", '{"page_size":50}', "true"]
    members = served("query", "tool_configs.get", '{"tool_name": "github"}').out
    assert "tool_name         github\n" in members
    assert "config:\n  page_size  50\n" in members
    row = served.ask("query", "tool_configs.get", '{"tool_name": "github"}')
    assert row["config"] == {"page_size": 50}


def test_what_others_stored_cannot_steer_the_terminal(served):
    served.ask("send", "jobs.enqueue", json.dumps({"type": "x", "name": "\x1b[2J\u202egone", "id": "escape"}))
    shown = served("query", "jobs.get", '{"id": "escape"}').out
    assert "\\x1b[2J\\u202egone" in shown
    assert "\x1b" not in shown


# Following


def test_tail_shows_the_log_from_a_position_as_lines_and_as_cloud_events(served):
    for value in (1, 2):
        served.ask("send", "app_state.set", json.dumps({"key": "tail", "value": value}))
    lines = served("tail", "--from", "1", "--stream", "app_state/tail", "--limit", "2").out.splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["app_state.set.v1", "app_state/tail", '{"value":1}'],
        ["app_state.set.v1", "app_state/tail", '{"value":2}'],
    ]
    events = served("tail", "--from", "1", "--table", "app_state", "--limit", "3", "--json").out.splitlines()
    logged = served.ask("query", "events.read", '{"table": "app_state", "limit": 3}')["items"]
    assert [json.loads(event) for event in events] == logged


def test_tail_shows_what_happens_from_now_on(served):
    tail = running("tail", "--table", "rate_limits", "--limit", "1", "--json", "--data", served.data)
    remaining = iter(range(1_000))

    def has_seen_one() -> bool:
        # Again and again: nobody is told when it has begun to listen.
        body = {"platform": "github", "limit": 10, "remaining": next(remaining) % 10}
        served.ask("send", "rate_limits.observe", json.dumps(body))
        return tail.poll() is not None

    with tail:
        wait_for(has_seen_one)
        assert tail.stdout is not None
        (line,) = tail.stdout.read().splitlines()
    assert tail.returncode == 0
    assert json.loads(line)["type"] == "hyperpage.rate_limit.observed.v1"


def test_tail_ends_with_0_on_control_c_and_when_its_reader_has_seen_enough(served):
    tail = running("tail", "--from", "1", "--data", served.data)
    with tail:
        assert tail.stdout is not None
        assert tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0
    command = shlex.join([sys.executable, "-m", "ops.cli", "tail", "--from", "1", "--data", str(served.data)])
    # The events are more than a line, so the second one meets a closed pipe.
    script = f"set -o pipefail; {command} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=30, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_tail_from_a_position_that_is_not_there_exits_with_3(served):
    assert served("tail", "--from", "1000000").code == 3


# Operation


def test_status_is_healthy_and_says_where_the_service_stands(served):
    result = wait_for(lambda: (one := served("status", "--json")).code == 0 and one)
    assert result.json["status"] == "healthy"
    assert result.json["store_id"] == served.runtime["store_id"]
    readable = served("status").out.splitlines()
    assert readable[0] == "healthy"
    assert any(line.split() == ["store_id", served.runtime["store_id"]] for line in readable)


def test_where_no_service_runs_every_question_exits_with_5_and_says_how_to_start_one(tmp_path):
    for arguments in (
        ("status",),
        ("send", "jobs.claim"),
        ("query", "jobs.list"),
        ("tail",),
        ("dlq", "list"),
    ):
        result = hyperpage(*arguments, "--data", tmp_path, "--json")
        assert (result.code, result.json["error"]["code"]) == (5, "unreachable")
        assert f"hint: start one with `hyperpage serve --data {tmp_path}`" in result.err


def test_projections_are_verified_and_rebuilt_while_the_service_runs(served):
    report = served.ask("projections", "verify")
    assert report["equal"] is True
    assert report["tables"]["app_state"]["rows"] > 0
    assert served.ask("projections", "rebuild")["rebuilt_streams"] == 0
    assert "The tables equal the log at position" in served("projections", "verify").out


def test_a_row_that_was_changed_behind_the_log_is_found_and_put_right_in_a_stopped_store(tmp_path):
    with Served(tmp_path / "data") as service:
        service.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
    connection = apsw.Connection(str(tmp_path / "data" / "hyperpage.db"))
    connection.execute("""UPDATE app_state SET value = '"light"'""")
    connection.close()
    where = ("--data", tmp_path / "data")
    found = hyperpage("projections", "verify", *where)
    assert found.code == 6
    assert 'app_state "theme": value is "\\"light\\"" instead of "\\"dark\\""' in found.out
    assert hyperpage("projections", "rebuild", *where, "--json").json["rebuilt_streams"] == 1
    assert hyperpage("projections", "verify", *where).code == 0


def test_a_stopped_store_is_migrated_down_and_up_and_its_events_are_kept(tmp_path):
    where = ("--data", tmp_path / "data")
    with Served(tmp_path / "data") as service:
        service.ask("send", "jobs.enqueue", '{"type": "sync", "name": "x"}')
        assert hyperpage("migrate", "up", *where).code == 1
        beside = hyperpage("migrate", "status", *where, "--json")
        assert all(one["applied"] for one in beside.json)
    names = [one["name"] for one in beside.json]
    assert hyperpage("migrate", "down", *where, "--json").json == {"reverted": [names[-1]]}
    lossy = hyperpage("migrate", "down", "--to", names[0], *where)
    assert lossy.code == 1
    assert "say --drop-events" in lossy.err
    assert hyperpage("migrate", "up", *where, "--json").json == {"applied": [names[-1]]}
    # What was dropped with its columns is there again.
    assert hyperpage("projections", "verify", *where).code == 0
    emptied = hyperpage("migrate", "down", "--to", names[0], "--drop-events", *where)
    assert emptied.out.splitlines() == [f"reverted {name}" for name in reversed(names[1:])]


def test_where_there_is_no_store_nothing_is_made_but_by_migrate_up(tmp_path):
    data = tmp_path / "data"
    for arguments in (("migrate", "status"), ("migrate", "down"), ("projections", "verify")):
        assert hyperpage(*arguments, "--data", data).code == 3
    assert not data.exists()
    assert hyperpage("migrate", "up", "--data", data).code == 0
    assert (data / "hyperpage.db").exists()


def test_a_dead_letter_is_listed_shown_replayed_and_dropped(served):
    refused = served("send", "app_state.set", '{"kye": 1}', "--durable", "--id", "dead-1")
    assert refused.code == 1
    (letter,) = served.ask("dlq", "list")["items"]
    assert (letter["command"], letter["command_id"], letter["code"]) == ("app_state.set", "dead-1", "invalid")
    assert "dead-1" in served("dlq", "list").out
    shown = served.ask("dlq", "show", str(letter["sequence"]))
    assert shown["body"] == '{"kye": 1}'
    assert served.ask("dlq", "replay", str(letter["sequence"])) == {"replayed": 1}

    # It is no better than before, and comes back.
    (again,) = wait_for(lambda: served.ask("dlq", "list")["items"])
    assert again["sequence"] > letter["sequence"]
    assert served("dlq", "show", str(letter["sequence"])).code == 3
    assert served.ask("dlq", "drop", "--all", "--yes") == {"dropped": 1}
    assert served.ask("dlq", "list")["items"] == []


# Help


def commands_of(app: App, path: str) -> Iterator[tuple[str, App]]:
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if command.default_command is None:
            yield from commands_of(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_explains_itself_with_an_example_that_names_it():
    commands = dict(commands_of(application(), "hyperpage"))
    assert len(commands) > 10
    for path, command in commands.items():
        assert command.help
        assert command.default_command
        assert f"For example:\n\n        {path}" in command.help, path
        options = [*inspect.signature(command.default_command).parameters]
        assert options[-2:] == ["data", "as_json"], path


def test_help_and_version_load_nothing_heavy():
    script = (
        "import sys; from ops.cli import application; application().help_print([]);"
        " assert not {'nats', 'apsw', 'ops.service'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "hyperpage send jobs.enqueue" in done.stdout
    assert hyperpage("--version").out.count(".") == 2


def test_the_shell_learns_to_complete_commands(tmp_path):
    installed = hyperpage("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert installed.code == 0, installed
    assert any(path.is_file() for path in tmp_path.rglob("*hyperpage*"))
