"""Credentials over the wire: refused however they are sent, and nowhere to be found afterwards."""

import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from domain.catalogue import VERBS
from domain.errors import SecretRejected
from ops.backup.create import create_backup
from ops.settings import Settings, SettingsError
from ops.settings_sources import load_settings
from tests.support.domain.credential_corpus import named, shaped
from tests.support.services.durable import Durable
from tests.support.services.raw_nats import Message
from tests.support.services.talking import Talk

SECRET = shaped()["github p"]
# Only its name gives it away.
HIDDEN = named()["random api_key"]["api_key"]
JOB = {"type": "sync", "name": "acme/site"}
LEASED = {"id": "nobody", "lease": "no-lease"}


def nested(value: Any) -> Any:
    return {"a": [{"b": value}]}


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("tool_configs.set", {"tool_name": "t", "config": nested(SECRET)}, "$.config.a[0].b"),
        ("tool_configs.set", {"tool_name": "t", "reason": f"now with {SECRET}"}, "$.reason"),
        ("tool_configs.patch", {"tool_name": "t", "patch": nested(SECRET)}, "$.patch.a[0].b"),
        ("app_state.set", {"key": "k", "value": SECRET}, "$.value"),
        ("app_state.set", {"key": SECRET, "value": 1}, "$.key"),
        ("app_state.set_if", {"key": "k", "value": nested(SECRET), "expected_version": 0}, "$.value.a[0].b"),
        ("app_state.set_many", {"items": [{"key": "k", "value": SECRET}]}, "$.items[0].value"),
        ("jobs.enqueue", JOB | {"payload": nested(SECRET)}, "$.payload.a[0].b"),
        ("jobs.enqueue", {"type": "sync", "name": SECRET}, "$.name"),
        ("jobs.complete", LEASED | {"result": nested(SECRET)}, "$.result.a[0].b"),
        ("jobs.fail", LEASED | {"error": f"401 for Authorization: Bearer {SECRET}"}, "$.error"),
        ("jobs.progress", LEASED | {"note": SECRET}, "$.note"),
        ("rate_limits.throttle", {"platform": "github", "until": 1, "reason": SECRET}, "$.reason"),
    ],
)
def test_a_credential_is_refused_by_every_verb_that_stores_a_value(shared: Talk, name: str, body, path: str):
    before = shared.position
    alone = shared.command(name, body, id="c")
    in_batch = shared.batch(
        {"command": name, "body": body}, {"command": "app_state.delete", "body": {"key": "missing"}}
    )
    atomic = shared.batch({"command": name, "body": body}, atomic=True)

    errors = [alone.error, in_batch.said["outcomes"][0]["error"], atomic.error]
    assert [error["code"] for error in errors] == ["secret_rejected"] * 3
    assert [error["details"]["path"] for error in errors] == [path] * 3
    assert in_batch.said["outcomes"][1]["error"]["code"] == "not_found"
    assert not any(SECRET.encode() in answer.body for answer in (alone, in_batch, atomic))
    assert shared.position == before
    # The id was not used up.
    assert shared.command("app_state.set", {"key": f"after/{name}", "value": path}).code is None


def test_every_verb_is_looked_through(shared: Talk):
    verbs = [name for name, (_, verb) in VERBS.items() if not verb.internal]
    for name in verbs:
        said = shared.command(name, {"tool_name": SECRET, "id": SECRET, "key": SECRET, "platform": SECRET})
        assert said.code in ("secret_rejected", "invalid")
        assert SECRET.encode() not in said.body


@pytest.mark.parametrize("what", named())
def test_a_value_is_refused_for_its_name(shared: Talk, what: str):
    error = shared.command("tool_configs.set", {"tool_name": "t", "config": named()[what]}).error

    assert error["code"] == "secret_rejected"
    assert error["details"]["path"].startswith("$.config")


@pytest.mark.parametrize(
    "body", [{SECRET: 1}, {"tool_name": "t", SECRET: 1}, {"tool_name": "t", "enabled": SECRET}]
)
def test_the_reason_why_a_body_is_invalid_does_not_repeat_a_credential(shared: Talk, body: Any):
    answer = shared.command("tool_configs.set", body)

    assert answer.code is not None
    assert SECRET.encode() not in answer.body
    assert SECRET not in str(answer.headers)


HEADERS = (
    "Hyperpage-Command-Id",
    "Hyperpage-Actor",
    "Hyperpage-Correlation-Id",
    "Hyperpage-Causation-Id",
    "traceparent",
)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("said", [SECRET, f"job:{SECRET}", base64.b64encode(SECRET.encode()).decode()])
def test_what_is_said_about_a_command_is_looked_through(shared: Talk, header: str, said: str):
    before = shared.position
    body = {"key": "k", "value": 1}
    alone = shared.command("app_state.set", body, headers={header: said})
    assert (alone.error["code"], alone.error["details"]["path"]) == ("secret_rejected", header)
    if header != "Hyperpage-Command-Id":
        together = shared.batch({"command": "app_state.set", "body": body}, headers={header: said})
        assert together.said["outcomes"][0]["error"]["details"]["path"] == header
        assert SECRET.encode() not in together.body
    assert said not in str(alone.headers) + alone.body.decode()
    assert shared.position == before


@pytest.mark.parametrize("atomic", [False, True])
def test_the_ids_in_a_batch_are_looked_through(shared: Talk, atomic: bool):
    before = shared.position
    body = {"key": "k", "value": 1}
    commands = [{"command": "app_state.set", "id": one, "body": body} for one in (SECRET, f"a/{SECRET}")]
    answer = shared.batch(*commands, atomic=atomic)

    errors = [answer.error] if atomic else [one["error"] for one in answer.said["outcomes"]]
    assert {one["code"] for one in errors} == {"secret_rejected"}
    assert [one["details"]["path"] for one in errors] == [
        f"$.commands[{index}].id" for index in range(len(errors))
    ]
    assert SECRET.encode() not in answer.body
    assert shared.position == before


@pytest.mark.parametrize(
    "command_id",
    [
        "01a20adb-1a24-7ae3-8f72-87397e233a2a",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "rotate-token:01a20adb-1a24-7ae3-8f72-87397e233a2a",
        "job_01h2xcejqtf2nbrexx3vqjhp41",
        "sync/acme/site@0123456789abcdef0123456789abcdef01234567",
        "sha256:" + "0123456789abcdef" * 4,
        "token/refresh/2026-11-24T09:30:00Z",
    ],
)
def test_ids_as_people_make_them_are_fine(shared: Talk, command_id: str):
    said = shared.command("app_state.set", {"key": "k", "value": command_id[::-1]}, id=command_id)
    assert said.said["command_id"] == command_id


def test_a_name_of_no_command_that_is_a_credential_is_not_repeated(shared: Talk):
    for name in (SECRET, f"app_state.{SECRET}"):
        alone = shared.command(name, {})
        in_batch = shared.batch({"command": name})
        administrative = shared.administer(name)
        assert alone.code == administrative.code == "secret_rejected"
        assert in_batch.said["outcomes"][0]["error"]["code"] == "secret_rejected"
        for answer in (alone, in_batch, administrative):
            assert SECRET not in str(answer.headers) + answer.body.decode()


def test_the_description_of_a_backup_is_looked_through(shared: Talk, tmp_path: Path):
    answer = shared.administer("backup.create", {"description": f"before {SECRET} goes"})
    assert (answer.code, answer.error["details"]["path"]) == ("secret_rejected", "$.description")
    assert SECRET.encode() not in answer.body

    with pytest.raises(SecretRejected):
        create_backup(shared.settings.store_path, tmp_path, description=SECRET, version="1")
    assert list(tmp_path.iterdir()) == []
    assert shared.administer("backup.list").said == {"items": []}


def test_nothing_of_a_refused_command_is_kept_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    good = {"tool_name": "t", "config": {"token": SECRET}}
    with Talk(tmp_path) as own:
        durable = Durable(own)

        async def scenario() -> list[Message]:
            answers = [
                await durable.answer("tool_configs.set", good, "one", **{"Hyperpage-Actor": "me"}),
                # These become dead letters: their bodies are not looked at, or cannot be read.
                await durable.answer("tool_configs.set", good | {"unknown": 1}, "two"),
                await durable.answer("no.such", good, "three"),
                await durable.answer("tool_configs.set", b'{"token": "' + SECRET.encode(), "four"),
                await durable.answer("tool_configs.set", b'{"tool_name": 7}', "five", Authorization=SECRET),
                await durable.answer("app_state.delete", b"7", "six", **{"X-Api-Key": HIDDEN, "X-Page": "7"}),
            ]
            await durable.nothing_waits()
            return answers

        answers = own.run(scenario())
        shown = [
            own.administer("dlq.show", {"sequence": letter["sequence"]})
            for letter in own.run(durable.letters())
        ]
        own.run(durable.relay.close())

    refused = ["secret_rejected", "invalid", "not_found", "invalid", "invalid", "invalid"]
    assert [one.code for one in answers] == refused
    letters = {one.said["command_id"]: one.said for one in shown}
    assert set(letters) == {"two", "three", "four", "five", "six"}
    for command_id in ("two", "three", "four"):
        assert letters[command_id]["body"] == "withheld: it looks as if it holds a credential"
    assert letters["five"]["body"] == '{"tool_name": 7}'
    assert "Authorization" not in letters["five"]["headers"]
    assert "X-Api-Key" not in letters["six"]["headers"]
    assert letters["six"]["headers"]["X-Page"] == "7"
    assert not any(SECRET.encode() in one.body for one in (*answers, *shown))
    assert SECRET not in caplog.text
    assert_nothing_has(tmp_path)


def assert_nothing_has(data: Path) -> None:
    # Only the stream of durable commands has the secrets: it stores commands before they are checked.
    holding = {
        file.relative_to(data).as_posix()
        for file in data.rglob("*")
        if file.is_file() and any(one.encode() in file.read_bytes() for one in (SECRET, HIDDEN))
    }
    assert all("HYPERPAGE_COMMANDS" in file for file in holding), holding


def test_a_credential_in_the_headers_or_the_name_of_a_durable_command_is_kept_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    body = {"key": "k", "value": 1}
    with Talk(tmp_path) as own:
        durable = Durable(own)

        async def scenario() -> None:
            for header in HEADERS:
                await durable.store("app_state.set", body, {header: SECRET})
                await durable.store("app_state.set", b"{", {header: SECRET})
            await durable.store(SECRET, body, {"Hyperpage-Command-Id": "named"})
            await durable.store(f"app_state.{SECRET}", body, {"Hyperpage-Command-Id": SECRET})
            await durable.nothing_waits()

        own.run(scenario())
        for letter in own.run(durable.letters()):
            shown = own.administer("dlq.show", {"sequence": letter["sequence"]})
            assert SECRET.encode() not in shown.body
        assert own.run(durable.result("named")).code == "secret_rejected"
        assert own.query("app_state.get", {"key": "k"}).code == "not_found"
        own.run(durable.relay.close())
    assert SECRET not in caplog.text
    assert_nothing_has(tmp_path)


def test_a_letter_without_its_body_is_no_command_when_it_is_sent_again(tmp_path: Path):
    with Talk(tmp_path) as own:
        durable = Durable(own)
        own.run(durable.answer("app_state.delete", {"key": "k", "x": {"token": SECRET}}, "one"))
        own.command("app_state.set", {"key": "k", "value": 1})
        assert own.administer("dlq.replay", {"all": True}).said == {"replayed": 1}
        assert own.run(durable.result("one")).code == "invalid"
        assert own.query("app_state.get", {"key": "k"}).said["value"] == 1
        own.run(durable.relay.close())


def test_a_false_alarm_is_stored_where_the_settings_allow_it(tmp_path: Path):
    value = {"build_token": SECRET}
    with Talk(tmp_path, allowed_secret_paths=("app_state.*:$.value.build_token",)) as own:
        assert own.command("app_state.set", {"key": "k", "value": value}).code is None
        assert own.query("app_state.get", {"key": "k"}).said["value"] == value
        assert own.command("app_state.set", {"key": "k", "value": [value]}).code == "secret_rejected"
        many = {"items": [{"key": "k", "value": value}]}
        assert (
            own.command("app_state.set_many", many).error["details"]["path"] == "$.items[0].value.build_token"
        )
        durable = Durable(own)
        answered = own.run(durable.answer("app_state.set", {"key": "l", "value": value}, "one"))
        own.run(durable.relay.close())
    assert json.loads(answered.body)["events"] == ["app_state.set.v1"]


def test_the_places_that_are_allowed_come_from_the_file_or_a_variable(tmp_path: Path):
    (tmp_path / "hyperpage.toml").write_text('allowed_secret_paths = ["a.b:$.c", "a.*:$.d"]\n')
    assert load_settings({"data": tmp_path}, {}).allowed_secret_paths == ("a.b:$.c", "a.*:$.d")
    from_variable = load_settings({"data": tmp_path}, {"HYPERPAGE_ALLOWED_SECRET_PATHS": "a.b:$.e, a.b:$.f"})
    assert from_variable.allowed_secret_paths == ("a.b:$.e", "a.b:$.f")
    assert Settings().allowed_secret_paths == ()
    with pytest.raises(SettingsError, match="allowed_secret_paths: 'x' is not a command and a path"):
        load_settings({"data": tmp_path}, {"HYPERPAGE_ALLOWED_SECRET_PATHS": "x"})
