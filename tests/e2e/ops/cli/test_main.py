"""The command line against a served directory: what it prints, and how it ends."""

import inspect
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from ops.cli.main import application
from tests.support.patience import wait_for
from tests.support.services.command_line import Served, environment, hyperpage, running, separately

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


def test_what_is_refused_exits_with_the_code_of_its_error(served):
    conflicting = ("send", "app_state.set", '{"key": "v", "value": 1}', "--expected-version", "7")
    expected = {
        ("send", "app_state.delete", '{"key": "nothing"}'): (3, "not_found"),
        ("send", "jobs.frobnicate"): (3, "not_found"),
        ("query", "jobs.get", '{"id": "nobody"}'): (3, "not_found"),
        conflicting: (4, "version_conflict"),
        ("send", "jobs.claim", '{"worker": 1}'): (1, "invalid"),
    }
    results = [served(*arguments, "--json") for arguments in expected]
    for result, (code, error_code) in zip(results, expected.values(), strict=True):
        assert (result.code, result.json["error"]["code"]) == (code, error_code)
        assert result.err.startswith(f"error: {result.json['error']['message']}")
    assert "(at $.worker)" in results[-1].err


def test_a_batch_with_a_refused_command_exits_with_1_and_shows_each_outcome(served):
    commands = [
        {"command": "app_state.set", "body": {"key": "batch", "value": 1}},
        {"command": "app_state.delete", "body": {"key": "nothing"}},
    ]
    result = served("send", "batch", "-", stdin=json.dumps({"commands": commands}))
    accepted, refused, hint = result.out.splitlines()
    assert result.code == 1
    assert accepted.startswith("Accepted: app_state.set.v1  app_state/batch version 1")
    assert refused == "command 1 refused (not_found): nothing holds nothing"
    assert hint == "  hint: look at how the name is written, or list what there is"


def test_a_refusal_says_all_that_is_wrong_and_what_may_have_been_meant(served):
    result = served("send", "jobs.enqueue", '{"priority": 9, "nam": "x", "on_dependency_failure": "wit"}')
    assert result.err.splitlines() == [
        "error: Expected `int` <= 4 (at $.priority)",
        "  $.priority: Expected `int` <= 4",
        "  $: Object contains unknown field `nam`; did you mean name?",
        "  $.on_dependency_failure: Invalid enum value 'wit'; did you mean wait?; there is cancel, wait, run",
        "  $: Object missing required field `type`",
        "hint: nothing was changed: correct it and send it again; `hyperpage schema jobs.enqueue` says what"
        " it takes",
    ]
    decided = served("send", "jobs.enqueue", '{"type": "sync", "payload": "text"}').err
    assert "payload must be an object (at $.payload)" in decided
    assert "`hyperpage schema jobs.enqueue` says what it takes" in decided
    assert "`hyperpage schema jobs.as_of` says" in served("query", "jobs.as_of", '{"id": "x"}').err
    commands = [{"command": "jobs.enque"}, {"command": "jobs.get"}]
    one_by_one = served("send", "batch", json.dumps({"commands": commands})).out
    assert (
        "command 0 refused (not_found): there is no command jobs.enque\n  hint: did you mean jobs.enqueue?"
        in one_by_one
    )
    assert "with `hyperpage query jobs.get`" in one_by_one
    together = served("send", "batch", json.dumps({"commands": commands, "atomic": True})).err
    assert together.startswith("error: command 0 of the batch: there is no command jobs.enque\n")
    assert "did you mean jobs.claim?" in served("send", "jobs claim").err
    assert "did you mean jobs?" in served("tail", "--table", "job").err


def test_what_makes_no_sense_exits_with_2():
    commands = (
        ("send",),
        ("send", "jobs"),
        ("send", "jobs.enqueue", "{'type': 1}"),
        ("send", "jobs.enqueue", "@/nowhere/at/all"),
        ("send", "jobs.enqueue", "--frobnicate"),
        ("send", "jobs.enqueue", "{}", "--expected-version", "many"),
        ("tail", "--table", "jobs", "--stream", "jobs/1"),
        ("tail", "--from", "0"),
        ("dlq", "drop", "--all"),
        ("dlq", "replay"),
        ("frobnicate",),
    )
    for arguments in commands:
        result = hyperpage(*arguments)
        assert (result.code, result.out) == (2, ""), arguments
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
    served.ask("send", "app_state.set", '{"key": "another", "value": 3}')
    lines = served("tail", "--from", "1", "--stream", "app_state/tail", "--limit", "2").out.splitlines()
    assert [line.split()[3:] for line in lines] == [
        ["app_state.set.v1", "app_state/tail", '{"value":1}'],
        ["app_state.set.v1", "app_state/tail", '{"value":2}'],
    ]
    events = served("tail", "--from", "1", "--table", "app_state", "--limit", "3", "--json").out.splitlines()
    logged = served.ask("query", "events.read", '{"table": "app_state", "limit": 3}')["items"]
    assert [json.loads(event) for event in events] == logged


def test_the_command_line_alone_shares_its_user_with_nobody(tmp_path: Path):
    with Served(tmp_path / "data", "--no-http") as served:
        assert served("send", "app_state.set", '{"key": "k", "value": 1}').code == 0
        assert served("tail", "--from", "1", "--limit", "1").code == 0
        assert served.ask("status")["notes"] == []


def test_tail_shows_what_happens_from_now_on(served):
    tail = running("tail", "--table", "rate_limits", "--limit", "1", "--json", "--data", served.data)
    remaining = iter(range(1_000))

    def has_seen_one() -> bool:
        # It sends again and again, because `tail` does not tell when it has begun to listen.
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
    served.ask("send", "app_state.set", '{"key": "tailed", "value": 1}')
    tail = running("tail", "--from", "1", "--data", served.data)
    with tail:
        assert tail.stdout is not None
        assert tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0
    command = shlex.join([sys.executable, "-m", "ops.cli", "tail", "--from", "1", "--data", str(served.data)])
    script = f"set -o pipefail; {command} | head -n 1"
    with subprocess.Popen(
        ["bash", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as piped:
        values = iter(range(1_000))

        def has_ended() -> bool:
            # After its reader has gone, its writes meet a closed pipe.
            served.ask("send", "app_state.set", json.dumps({"key": "piped", "value": next(values)}))
            return piped.poll() is not None

        wait_for(has_ended)
        out, errors = piped.communicate()
    assert (piped.returncode, errors) == (0, "")
    assert len(out.splitlines()) == 1


def test_tail_from_a_position_that_is_not_there_exits_with_3(served):
    result = served("tail", "--from", "1000000")
    assert result.code == 3
    assert "the log ends at position" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("send", "jobs.claim", '{"worker": "w", "queue": "empty"}'), 0),
        (("send", "app_state.delete", '{"key": "nothing"}'), 3),
        (("query", "jobs.list"), 0),
        (("tail", "--from", "1", "--limit", "1"), 0),
        (("status",), 0),
        (("projections", "verify"), 0),
        (("migrate", "status"), 0),
        (("dlq", "list"), 0),
        (("stream", "refill"), 2),
        (("schema", "jobs.enqueue"), 0),
        (("frobnicate",), 2),
    ],
)
def test_as_a_process_of_its_own_a_command_ends_with_the_same_code(served, arguments, code):
    where = () if code == 2 else ("--data", served.data)
    result = separately(*arguments, *where)
    assert result.code == code, result
    assert bool(result.out) == (code == 0 and arguments[0] != "dlq")
    assert "Traceback" not in result.err


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
        # Python 3.13 takes the indentation out of docstrings by itself.
        assert f"For example:\n\n    {path}" in inspect.cleandoc(command.help), path
        options = [*inspect.signature(command.default_command).parameters]
        # A prompt, and a program in the foreground, print no JSON; a key belongs to no data directory.
        expected = {
            "hyperpage analytics shell": "data",
            "hyperpage backup new-key": "as_json",
            "hyperpage cluster run": "data",
        }.get(path)
        assert options[-2:] == ["data", "as_json"] or options[-1] == expected, path


def test_help_and_version_load_nothing_heavy():
    script = (
        "import sys; from ops.cli.main import application; application().help_print([]);"
        " assert not {'nats', 'apsw', 'ops.service.composition'} & set(sys.modules)"
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
    assert separately("--version").out.count(".") == 2


def test_what_every_command_takes_may_stand_in_front_of_it(served):
    in_front = hyperpage("--json", "--data", served.data, "query", "app_state.list", '{"limit": 1}')
    assert (in_front.code, in_front.json) == (0, served.ask("query", "app_state.list", '{"limit": 1}'))
    wait_for(lambda: hyperpage(f"--data={served.data}", "--json", "status").json["status"] == "healthy")
    assert hyperpage("--json").code == 2
    assert "The service's data directory" in hyperpage("--json", "status", "--help").out


def test_a_dry_run_says_that_it_was_one(served):
    served.ask("send", "jobs.enqueue", '{"id": "dry", "type": "x", "name": "x", "queue": "dry"}')
    body = '{"filter": {"queue": "dry"}, "dry_run": true}'
    tried = served("send", "jobs.cancel_many", body).out
    assert tried.startswith("A dry run; nothing was changed:\nids        dry\n")
    batch = json.dumps(
        {
            "commands": [
                {"command": "jobs.cancel_many", "body": json.loads(body)},
                {"command": "jobs.claim", "body": {"worker": "x", "queue": "none"}},
            ]
        }
    )
    assert [line for line in served("send", "batch", batch).out.splitlines() if line[0].isupper()] == [
        "A dry run; nothing was changed:", "No job is due.",
    ]  # fmt: skip
    assert served.ask("query", "jobs.get", '{"id": "dry"}')["status"] == "pending"
