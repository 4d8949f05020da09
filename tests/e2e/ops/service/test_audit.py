"""The audit log of a running service: over NATS, HTTP and the command line, through restores and kills."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hyperpage_client.transport.connecting import NotConnectedError, connect
from ops.audit.verification import verify
from tests.support.patience import wait_for
from tests.support.services.command_line import Served, hyperpage


def acts(data: Path, *wish: str) -> list[dict[str, Any]]:
    items = hyperpage("audit", "list", *wish, "--limit", "1000", "--data", data, "--json").json["items"]
    return list(reversed(items))


def in_short(data: Path, *wish: str) -> list[tuple[str, str]]:
    return [(one["action"], one["outcome"]) for one in acts(data, *wish)]


def test_the_acts_of_operators_stand_there_before_they_are_answered_from_begin_to_end(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        secret = service.ask("token", "create", "root", "--role", "admin")["token"]
        service.ask("projections", "rebuild")
        assert in_short(data, "--action", "projections.*") == [
            ("projections.rebuild", "begun"),
            ("projections.rebuild", "done"),
        ]
        with service.http() as client:
            bearer = {"Authorization": f"Bearer {secret}"}
            assert client.post("/api/v1/admin/stream/refill", headers=bearer).status_code == 200
            (_, by_http) = acts(data, "--action", "stream.refill")
            assert (by_http["actor"], by_http["principal"], by_http["via"]) == ("root", "root", "http")
            assert by_http["address"] == "127.0.0.1"
            refused = client.post("/api/v1/admin/dlq/drop", headers=bearer, json={"sequence": 99})
            assert refused.status_code == 404
            assert in_short(data, "--action", "dlq.drop")[-1] == ("dlq.drop", "refused")
        # Killed, not stopped: what was answered is on disk.
        service.stop(signal.SIGKILL)
    assert verify(data / "audit").is_sound
    assert ("stream.refill", "done") in in_short(data)


def test_log_ins_and_what_is_refused_over_http_stand_there_and_no_secret_does(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        reader = service.ask("token", "create", "reader")["token"]
        gone = service.ask("token", "create", "gone")["token"]
        service.ask("token", "revoke", "gone")
        guess = "hpt_" + "A1b2" * 10 + "xyz"
        with service.http() as client:
            assert client.post("/session", json={"token": reader}).status_code == 200
            assert client.get("/api/v1/admin/audit").status_code == 403
            client.cookies.clear()
            for wrong in (gone, guess):
                headers = {"Authorization": f"Bearer {wrong}"}
                assert client.get("/api/v1/jobs", headers=headers).status_code == 401
            assert client.post("/session", json={"token": guess}).status_code == 401

        def told() -> list[dict[str, Any]]:
            return [one for one in acts(data) if one["via"] == "http"]

        wait_for(lambda: len(told()) == 5)
        assert [(one["action"], one["outcome"], one["code"], one["actor"]) for one in told()] == [
            ("session.open", "done", None, "reader"),
            ("http.request", "refused", "forbidden", "reader"),
            ("token.use", "refused", "revoked", "gone"),
            ("token.use", "refused", "unknown_token", "unknown"),
            ("session.open", "refused", "unknown_token", "unknown"),
        ]
    content = b"".join(one.read_bytes() for one in (data / "audit").iterdir())
    for secret in (reader, gone, guess):
        assert secret.encode() not in content


def test_guesses_by_the_hundred_are_counted_and_not_written_one_by_one(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        with service.http() as client:
            for number in range(300):
                headers = {"Authorization": f"Bearer hpt_{number:043d}"}
                assert client.get("/api/v1/jobs", headers=headers).status_code in (401, 429)
        service.stop()
    refused = acts(data, "--action", "token.use")
    assert len(refused) < 20
    counted = sum(json.loads(one["request"]).get("more_of_these", 1) for one in refused)
    assert counted == 300


def test_the_log_is_listed_in_pages_and_verified_over_http_for_administrators_alone(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        secrets = {
            role: service.ask("token", "create", f"one-{role}", "--role", role)["token"]
            for role in ("operate", "admin")
        }
        with service.http() as client:
            operator, bearer = ({"Authorization": f"Bearer {secret}"} for secret in secrets.values())
            assert client.get("/api/v1/admin/audit", headers=operator).status_code == 403
            page = client.get("/api/v1/admin/audit", headers=bearer, params={"action": "token.*", "limit": 3})
            first = page.json()
            assert [one["outcome"] for one in first["items"]] == ["done", "begun", "done"]
            rest = client.get(page.links["next"]["url"], headers=bearer).json()
            assert [one["sequence"] for one in rest["items"]] == [first["items"][-1]["sequence"] - 1]
            assert rest["next"] is None
            assert client.get("/api/v1/admin/audit?since=now", headers=bearer).status_code == 400
            verdict = client.post("/api/v1/admin/audit/verify", headers=bearer).json()
            assert verdict["wrong"] is None
            wrong = {"heads": [f"{verdict['lines']}:{'0' * 64}"]}
            found = client.post("/api/v1/admin/audit/verify", headers=bearer, json=wrong).json()
            assert found["wrong"] is not None
        head = wait_for(lambda: service.status["audit"]["head"])
        assert service("audit", "verify", "--head", head).code == 0


def test_a_restore_does_not_cut_the_log_and_stands_in_it(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        service.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
        service.ask("backup", "create")
        service.ask("send", "app_state.set", '{"key": "theme", "value": "light"}')
        before = service.ask("audit", "verify")
        service.ask("backup", "restore", "--to-position", "1", "--yes")
        after = service.ask("audit", "verify", "--head", before["head"])
        assert after["lines"] > before["lines"]
    restored = acts(data, "--action", "backup.restore")
    assert [one["outcome"] for one in restored] == ["begun", "done"]
    assert {one["via"] for one in restored} == {"command line"}
    names = [one["action"] for one in acts(data, "--action", "service.*")]
    assert names == ["service.start", "service.stop"] * 2


def test_a_token_that_was_put_into_the_file_by_hand_is_noticed(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        service.ask("token", "create", "dashboard")
        file = data / "tokens.json"
        kept = json.loads(file.read_text())
        kept["tokens"].append({**kept["tokens"][0], "id": "by-hand", "name": "mallory", "hash": "0" * 64})
        new = data / "tokens.new"
        new.write_text(json.dumps(kept))
        new.chmod(0o600)
        new.rename(file)
        wait_for(lambda: acts(data, "--action", "token.create")[-1]["code"] == "changed_by_hand")
    names = [json.loads(one["request"])["name"] for one in acts(data, "--action", "token.create")]
    assert names == ["dashboard", "dashboard", "mallory"]


def test_what_cannot_be_recorded_is_refused_and_the_service_says_so_until_it_can_again(tmp_path):
    data = tmp_path / "data"
    with Served(data, HYPERPAGE_HEALTH_INTERVAL_SECONDS="0.2") as service:
        (data / "audit").rename(tmp_path / "away")
        (data / "audit").write_text("in the way")
        refused = service("stream", "refill", "--yes", "--json")
        assert refused.json["error"]["code"] == "unavailable"
        assert "recorded" in refused.json["error"]["message"]
        assert service("backup", "prune").code == 0, "what makes room is done all the same"
        status = service("status", "--json").json
        assert "audit_stopped" in [one["cause"] for one in status["causes"]]
        assert service("send", "app_state.set", '{"key": "theme", "value": 1}').code == 0
        (data / "audit").unlink()
        (tmp_path / "away").rename(data / "audit")
        wait_for(
            lambda: (
                "audit_stopped" not in [one["cause"] for one in service("status", "--json").json["causes"]]
            )
        )
        assert service("stream", "refill", "--yes").code == 0
        assert ("stream.refill", "refused") in in_short(data), "it was noted meanwhile"
    assert verify(data / "audit").is_sound


def test_a_credential_that_the_settings_let_through_is_told_by_its_place_and_never_by_its_value(
    tmp_path,
):
    data = tmp_path / "data"
    secret = "ghp_" + "aB3dE5fG7h" * 3 + "jK9mN1"
    with Served(data, HYPERPAGE_ALLOWED_SECRET_PATHS="app_state.set:$.value.*") as service:
        refused = service("send", "app_state.set", json.dumps({"key": "k", "value": secret}))
        assert refused.code == 1
        for number in range(5):
            body = json.dumps({"key": f"k{number}", "value": {f"name{number}": secret}})
            assert service("send", "app_state.set", body, "--actor", "importer").code == 0
        wait_for(lambda: acts(data, "--action", "secret.*"))
        service.stop()
    (told,) = acts(data, "--action", "secret.*")
    assert (told["action"], told["actor"]) == ("secret.let_through", "importer")
    request = json.loads(told["request"])
    assert (request["command"], request["path"]) == ("app_state.set", "$.value.name0")
    assert request["allowed_by"] == "app_state.set:$.value.*"
    assert secret.encode() not in (data / "audit" / "audit-000001.jsonl").read_bytes()


def test_a_log_in_that_the_broker_refused_is_told_with_the_user_that_was_named(tmp_path):
    data = tmp_path / "data"
    with Served(data) as service:
        address = service.runtime["nats_url"].rpartition("@")[2]

        async def guess() -> None:
            with pytest.raises(NotConnectedError):
                await connect(
                    f"nats://admin:guessed@{address}", name="a guess", inbox_prefix="_INBOX", within_seconds=5
                )

        asyncio.run(guess())
        wait_for(lambda: acts(data, "--action", "broker.connect"))
        told = acts(data, "--action", "broker.connect")[0]
    assert (told["actor"], told["principal"], told["outcome"]) == ("admin", None, "refused")
    assert told["address"] == "127.0.0.1"
    assert b"guessed" not in (data / "audit" / "audit-000001.jsonl").read_bytes()
