"""The HTTP API of a service as it is run: the paths of the system before, backups, restores, tokens."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http_clients import client
from tests.support.patience import wait_for
from tests.support.services.asking import problem
from tests.support.services.command_line import Served, separately
from tests.support.services.raw_nats import RawNats

CONFIG, BACKUP = "/api/tools/config", "/api/backup"


def test_the_ready_line_says_where_the_api_is(served: Served) -> None:
    ready = json.loads(served.ready_line)

    assert ready["http_url"] == served.runtime["http_url"]
    assert ready["http_url"].startswith("http://127.0.0.1:")


def test_an_address_that_is_taken_is_told(served: Served, tmp_path: Path) -> None:
    address = served.runtime["http_url"].removeprefix("http://")
    second = served("serve", "--http", "nowhere")
    assert second.code == 2
    assert "is not HOST:PORT" in second.err
    taken = separately("serve", "--data", tmp_path / "data", "--nats-port", "0", "--http", address)
    assert taken.code == 1
    assert "HTTP cannot listen at" in taken.err
    assert "--no-http" in taken.err


def test_configurations_are_saved_and_read_as_before(http: httpx.Client) -> None:
    config = {"enabled": True, "config": {"site": "a"}, "refreshInterval": 60, "notifications": False}
    saved = http.post(CONFIG, json={"toolName": "jira", "config": config})

    assert saved.status_code == 200
    assert saved.json() == {"message": "Configuration saved successfully"}
    assert http.get(CONFIG, params={"tool": "jira"}).json() == config
    http.post(CONFIG, json={"toolName": "github", "config": {"enabled": False}})
    assert http.get(CONFIG).json() == {
        "github": {"enabled": False, "config": {}, "refreshInterval": None, "notifications": True},
        "jira": config,
    }
    missing = http.get(CONFIG, params={"tool": "none"})
    assert missing.status_code == 404
    assert missing.json()["error"] == "Tool configuration not found"


INCOMPLETE = "Tool name and configuration required"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, INCOMPLETE),
        ({"toolName": "x"}, INCOMPLETE),
        ({"config": {}}, INCOMPLETE),
        ({"toolName": "", "config": {}}, INCOMPLETE),
        ({"toolName": "x", "config": None}, INCOMPLETE),
        ({"toolName": "x", "config": 1}, "Expected `object`, got `int`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_a_configuration_that_is_none_is_refused_as_before(http: httpx.Client, body: Any, error: str) -> None:
    refused = http.post(CONFIG, json=body)

    assert refused.status_code == 400
    assert refused.json()["error"] == refused.json()["detail"]
    assert error in refused.json()["error"]


def test_backups_are_made_listed_by_day_and_proven(http: httpx.Client, served: Served) -> None:
    made = http.post(BACKUP, json={"description": "by hand"}).json()

    assert made["message"] == "Backup created successfully"
    backup = made["backup"]
    assert backup["success"] is True
    assert backup["metadata"]["description"] == "by hand"
    assert backup["size"] == Path(backup["backupPath"]).stat().st_size
    second = http.post("/api/v1/backups", json={})
    assert second.status_code == 201
    newer, older = second.json()["name"], Path(backup["backupPath"]).name
    by_day = http.get(BACKUP).json()
    assert [one["name"] for day in by_day for one in by_day[day]] == [newer, older]
    assert by_day[next(iter(by_day))][-1]["path"] == backup["backupPath"]
    verified = http.post(f"/api/v1/backups/{newer}/verify").json()
    assert verified["valid"] is True
    assert http.post(f"/api/v1/backups/{newer}/drill").json()["status"] == "proven"
    listed = http.get("/api/v1/backups").json()["items"]
    assert [one["name"] for one in listed] == [newer, older]
    # The service may have proven the older one by itself meanwhile.
    assert (listed[0]["status"], listed[1]["status"]) in (("proven", "good"), ("proven", "proven"))


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "hyperpage-backup-none.db", "--help", "%00", "a"])
def test_only_a_backup_is_verified(http: httpx.Client, name: str) -> None:
    refused = http.post(f"/api/v1/backups/{name}/verify")

    assert refused.status_code in (400, 404), refused.text


def test_only_a_backup_of_ours_is_restored(http: httpx.Client, served: Served, tmp_path: Path) -> None:
    made = http.post(BACKUP, json={}).json()["backup"]["backupPath"]
    outside = tmp_path / Path(made).name
    outside.write_bytes(Path(made).read_bytes())
    link = Path(made).with_name("hyperpage-backup-link.db")
    link.symlink_to(outside)
    elsewhere = [
        "/etc/passwd",
        str(outside),
        f"{Path(made).parent}/../{outside.name}",
        link.name,
        "x\0y",
        "..",
        ".",
    ]
    for path in elsewhere:
        refused = http.put(BACKUP, json={"backupPath": path})
        assert refused.status_code in (400, 404), (path, refused.text)
        assert refused.json()["error"]
        act = http.post("/api/v1/admin/backup/restore", json={"backup": path})
        assert act.status_code in (400, 404), (path, act.text)
    link.unlink()
    for body in ({}, {"backupPath": ""}):
        refused = http.put(BACKUP, json=body)
        assert (refused.status_code, refused.json()["error"]) == (400, "Backup path required")
    problem(http.post("/api/v1/admin/import/file", json={"path": "/etc/passwd"}), 404, "not_found")


def test_a_restore_is_answered_when_the_store_is_served_again(http: httpx.Client, served: Served) -> None:
    http.put("/api/v1/app_state/kept", json={"value": 1})
    made = http.post(BACKUP, json={}).json()["backup"]["backupPath"]
    http.put("/api/v1/app_state/lost", json={"value": 1})
    url, process = served.runtime["http_url"], served.process.pid

    with ThreadPoolExecutor() as pool, client(url) as watcher:
        restoring = pool.submit(http.put, BACKUP, json={"backupPath": made})
        # During the restore a request is answered, or refused with 503, and nothing else.
        seen = set()
        # With pauses between the requests, since the restore needs the processor, too.
        while not wait([restoring], 0.02).done:
            seen.add(watcher.get("/api/v1/app_state/kept").status_code)
        restored = restoring.result()

    assert seen <= {200, 503}
    assert restored.status_code == 200, restored.text
    assert restored.json()["message"] == "Database restored successfully"
    assert restored.json()["restoredFrom"] == made
    assert http.get("/api/v1/app_state/kept").status_code == 200
    assert http.get("/api/v1/app_state/lost").status_code == 404
    assert (served.runtime["http_url"], served.process.pid) == (url, process)
    assert served.runtime["timeline"] == 2

    def restores() -> list[Any]:
        return [act for act in acts_logged(served) if act["action"] == "backup.restore"]

    # The next service writes this line as soon as it serves, perhaps after the answer.
    wait_for(lambda: restores()[-1]["outcome"] == "done")
    acts = restores()
    # The restores of the test before were refused.
    assert [act["outcome"] for act in acts if act["outcome"] != "refused"] == ["begun", "done"]
    assert acts[-1]["actor"] == acts[-2]["actor"]
    assert Path(made).name in acts[-1]["request"]


def test_administration_goes_the_same_way_as_on_the_bus(http: httpx.Client) -> None:
    assert http.post("/api/v1/admin/projections/verify").json()["equal"] is True
    assert http.post("/api/v1/admin/dlq/list", json={"limit": 1}).json()["items"] == []
    problem(http.post("/api/v1/admin/dlq/show", json={"sequence": 99}), 404, "not_found")
    problem(http.post("/api/v1/admin/nothing/here"), 404, "not_found")
    problem(http.get("/api/v1/admin/projections/verify"), 405, "method_not_allowed")


def test_every_administrative_act_is_recorded_and_told(http: httpx.Client, served: Served) -> None:
    async def hear() -> list[Any]:
        async with await RawNats.connect(served.runtime["nats_url"]) as listener:
            told = listener.subscribe("hyperpage.sys.v1.audit")
            await listener.flush()
            await asyncio.to_thread(http.post, "/api/v1/admin/projections/rebuild")
            await asyncio.to_thread(http.post, "/api/v1/admin/dlq/drop", json={"sequence": 99})
            # Lists only.
            await asyncio.to_thread(http.post, "/api/v1/admin/dlq/list")
            await asyncio.to_thread(served.ask, "projections", "verify")
            async with asyncio.timeout(20):
                return [(await told.get()).said for _ in range(3)]

    acts = asyncio.run(hear())

    assert [(one["action"], one["outcome"], one["code"], one["actor"]["via"]) for one in acts] == [
        ("projections.rebuild", "done", None, "http"),
        ("dlq.drop", "refused", "not_found", "http"),
        ("projections.verify", "done", None, "command line"),
    ]
    assert acts[0]["actor"]["address"] == "127.0.0.1"
    assert acts[1]["request"] == '{"sequence":99}'
    assert acts == acts_logged(served)[-3:]


def test_tokens_are_made_used_and_revoked(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0", "--log-format", "json") as served:
        assert "HTTP listens on the loopback only, since there is no token" in served.log.read_text()
        http = served.http()

        made = served.ask("token", "create", "deploy", "--role", "operate", "--days", "30")
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert http.get("/session", headers=headers).json()["name"] == "deploy"
        assert http.get("/session").status_code == 401
        assert http.post("/api/v1/admin/projections/verify", headers=headers).status_code == 403
        twice = served("token", "create", "deploy")
        assert (twice.code, "there is a token deploy" in twice.err) == (1, True)
        assert served("token", "create", "../x").code == 1
        [listed] = served.ask("token", "list")
        assert made["token"] not in json.dumps(listed)
        assert listed["role"] == "operate"

        assert served("token", "revoke", "deploy").code == 0
        assert http.get("/session", headers=headers).status_code == 401
        assert served("token", "revoke", "deploy").code == 3
        wait_for(lambda: "token.revoke" in {act["action"] for act in acts_logged(served)})
        assert "token.create" in {act["action"] for act in acts_logged(served)}
        http.close()


def acts_logged(served: Served) -> list[Any]:
    """The administrative acts in the log of a service that logs JSON, oldest first."""
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    return [line["act"] for line in lines if "act" in line]
