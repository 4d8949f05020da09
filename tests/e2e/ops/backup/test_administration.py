"""Backups of a running service, administered on the bus and over HTTP, and the notices about them."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest

from ops.cli.asking import administer
from ops.cli.terminal.exits import CommandFailure
from tests.support.patience import wait_for
from tests.support.services.asking import problem
from tests.support.services.command_line import Served, hyperpage
from tests.support.services.raw_nats import RawNats
from tests.support.stores.keys import KEY, PUBLIC

LISTEN_SECONDS = 30


@pytest.fixture(scope="module")
def administered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    by_hand = {"HYPERPAGE_BACKUP_INTERVAL_MINUTES": "0", "HYPERPAGE_BACKUP_DRILL_HOURS": "0"}
    data = tmp_path_factory.mktemp("administered") / "data"
    with Served(data, "--http", "127.0.0.1:0", "--http-open", **by_hand) as service:
        for number in range(4):
            service.ask("send", "app_state.set", f'{{"key": "k", "value": {number}}}')
        # The service itself makes this one, so its notice comes at once.
        administer("backup.create", {}, data)
        yield service


@pytest.fixture
def over_http(administered: Served) -> Iterator[httpx.Client]:
    with administered.http() as client:
        yield client


def told(served: Served, count: int, act: Callable[[], object]) -> list[tuple[str, dict[str, Any]]]:
    """The notices of backups that an act leads to."""

    async def listen() -> list[tuple[str, dict[str, Any]]]:
        async with await RawNats.connect(served.runtime["nats_url"]) as listener:
            notices = listener.subscribe("hyperpage.sys.v1.backup.*")
            await listener.flush()
            await asyncio.to_thread(act)
            async with asyncio.timeout(LISTEN_SECONDS):
                heard = [await notices.get() for _ in range(count)]
        return [(one.subject.rpartition(".")[2], one.said) for one in heard]

    return asyncio.run(listen())


def test_whoever_listens_hears_of_backups_whoever_makes_them(administered: Served, over_http: httpx.Client):
    changes = told(
        administered, 2, lambda: over_http.post("/api/v1/backups", json={"description": "by http"})
    )
    assert [change for change, _ in changes] == ["started", "completed"]
    name = Path(changes[1][1]["path"]).name
    assert changes[1][1]["metadata"]["description"] == "by http"

    assert told(administered, 1, lambda: over_http.post(f"/api/v1/backups/{name}/drill")) == [
        ("verified", {"name": name, "status": "proven"})
    ]

    # Another process makes this backup, so the service notices it with its next look.
    def by_hand() -> None:
        administered.ask("backup", "create", "by hand")
        over_http.post(f"/api/v1/backups/{name}/verify")

    changes = told(administered, 2, by_hand)
    assert [change for change, _ in changes] == ["completed", "verified"]
    assert changes[0][1]["metadata"]["description"] == "by hand"


def test_a_backup_that_cannot_be_made_is_told_with_the_reason(administered: Served, over_http: httpx.Client):
    folder = administered.data / "backups"
    away = folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    try:
        changes = told(
            administered, 2, lambda: problem(over_http.post("/api/v1/backups", json={}), 422, "refused")
        )
    finally:
        folder.unlink()
        away.rename(folder)
    assert [change for change, _ in changes] == ["started", "failed"]
    assert (changes[1][1]["what"], "backup create failed" in changes[1][1]["reason"]) == ("create", True)


def test_what_a_restore_would_do_can_be_asked_without_doing_it(administered: Served, over_http: httpx.Client):
    asked = {"position": 2, "dry_run": True}
    plan = administer("backup.restore", asked, administered.data)["plan"]
    assert (plan["position"], plan["timeline"], plan["events_lost"]) == (2, 2, 2)
    assert over_http.post("/api/v1/admin/backup/restore", json=asked).json() == {"plan": plan}
    beyond = over_http.post("/api/v1/admin/backup/restore", json={"position": 99, "dry_run": True})
    assert "ends at position 4" in problem(beyond, 404, "not_found")["detail"]
    # The record has all three, the newest first, none as if it had been done; the metrics count them apart.
    acts = over_http.get("/api/v1/admin/audit", params={"action": "backup.restore"}).json()["items"]
    tried = [(one["outcome"], one["dry_run"]) for one in acts]
    assert tried == [("refused", True), ("done", True), ("done", True)]
    assert (
        'hyperpage_acts_total{action="backup.restore",outcome="tried"} 2.0' in over_http.get("/metrics").text
    )
    assert administered.runtime["timeline"] == 1


def test_backups_are_pinned_proven_at_once_and_pruned_from_afar(
    administered: Served, over_http: httpx.Client
):
    made = administer("backup.create", {"prove": True}, administered.data)
    assert made["metadata"]["last_drilled"] is not None
    name = Path(made["path"]).name
    assert administer("backup.pin", {"name": name}, administered.data)["metadata"]["pinned"] is True
    kept = over_http.post("/api/v1/admin/backup/prune", json={"dry_run": True}).json()
    assert (kept["removed"], kept["kept"][name]) == ([], "pinned")
    assert administer("backup.unpin", {"name": name}, administered.data)["metadata"]["pinned"] is False
    with pytest.raises(CommandFailure, match="there is no backup"):
        administer("backup.pin", {"name": "hyperpage-backup-none.db"}, administered.data)


def test_one_backup_is_deleted_only_if_nothing_hangs_on_it(administered: Served):
    older = Path(administered.ask("backup", "create", "older")["path"])
    newest = Path(administered.ask("backup", "create", "newest")["path"])
    kept = administered("backup", "delete", newest.name, "--yes")
    assert (kept.code, "is kept: the newest" in kept.err) == (1, True)
    administered.ask("backup", "pin", older.name)
    pinned = administered("backup", "delete", older.name, "--yes")
    assert (pinned.code, "unpin" in pinned.err) == (1, True)
    administered.ask("backup", "unpin", older.name)
    assert administered("backup", "delete", older.name).code == 2
    assert older.exists()
    assert administered("backup", "delete", older.name, "--yes").code == 0
    assert not list(older.parent.glob(f"{older.name}*"))
    assert administered("backup", "delete", older.name, "--yes").code == 3
    assert administered("backup", "delete", str(administered.data / "hyperpage.db"), "--yes").code == 2

    # A damaged backup is not needed: it may be deleted even if it is the newest.
    content = newest.read_bytes()
    newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert administered("backup", "verify", newest.name).code == 6
    assert administer("backup.delete", {"name": newest.name}, administered.data) == {"deleted": newest.name}
    wait_for(lambda: administered("status").code == 0)


def test_a_command_that_looks_elsewhere_than_the_service_says_so(administered: Served, tmp_path: Path):
    elsewhere = {"HYPERPAGE_BACKUPS": str(tmp_path / "elsewhere")}
    said = hyperpage("backup", "list", "--data", administered.data, **elsewhere).err
    assert f"the service has its backups in {administered.data / 'backups'}" in said
    assert "hyperpage.toml" in said
    assert administered("backup", "list").err == ""


def test_without_a_store_nothing_is_pruned(administered: Served, tmp_path: Path):
    there = {"HYPERPAGE_BACKUPS": str(administered.data / "backups"), "HYPERPAGE_BACKUP_RETENTION_DAYS": "0"}
    refused = hyperpage("backup", "prune", "--data", tmp_path / "none", **there)
    assert (refused.code, "nothing was deleted" in refused.err) == (3, True)


def test_status_says_that_the_archive_would_be_lost_with_the_disk(administered: Served):
    archive = administered.ask("status")["archive"]
    assert (archive["outside"], "another disk, or to a bucket" in archive["note"]) == (False, True)
    assert "another disk, or to a bucket" in administered("status").out


def test_a_restore_that_needs_a_key_is_refused_before_the_service_drains(tmp_path: Path):
    file = tmp_path / "key.txt"
    file.write_text(f"{KEY}\n")
    data = tmp_path / "data"
    with Served(data, "--http", "127.0.0.1:0", "--http-open", HYPERPAGE_ENCRYPT_TO=PUBLIC) as served:
        served.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        made = hyperpage("backup", "create", "--data", data, "--json", HYPERPAGE_ENCRYPT_TO=PUBLIC).json
        name = Path(made["path"]).name
        served.ask("send", "app_state.set", '{"key": "k", "value": 2}')
        with served.http() as http:
            refused = problem(http.put("/api/backup", json={"backupPath": name}), 422, "refused")
        assert "encrypted" in refused["detail"]
        assert "--identity" in refused["hint"]
        # Events that the store itself has need no backup.
        assert administer("backup.restore", {"position": 1, "dry_run": True}, data)["plan"]["backup"] == (
            "the present store"
        )
        assert served.runtime["timeline"] == 1

        done = served.ask("backup", "restore", name, "--yes", "--identity", file)

        assert (done["position"], done["timeline"], Path(done["backup"]).name) == (1, 2, name)
        assert served.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
        assert not list(data.glob(".drill-*"))


def test_a_key_is_made_once_and_never_overwritten(tmp_path: Path):
    file = tmp_path / "backup-key.txt"
    made = hyperpage("backup", "new-key", file)
    assert made.code == 0
    public = made.out.strip()
    assert str(pyrage.x25519.Identity.from_str(file.read_text().splitlines()[1]).to_public()) == public
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_text()
    again = hyperpage("backup", "new-key", file)
    assert (again.code, "only copy" in again.err) == (1, True)
    assert file.read_text() == before
    assert hyperpage("backup", "new-key", tmp_path / "none" / "key.txt").code == 1
