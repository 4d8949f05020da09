"""Restoring a backup of a running service, in a real browser."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services.browsing import browser, tab
from tests.support.services.command_line import Served

RESTORE = "/console/backups/-/restore"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0", "--http-open") as served:
        yield served


def test_a_restore_is_looked_at_carried_out_and_told(fresh: Served) -> None:
    fresh.ask("send", "app_state.set", '{"key": "k", "value": "before"}')
    name = fresh.ask("backup", "create")["path"].rpartition("/")[2]
    fresh.ask("send", "app_state.set", '{"key": "k", "value": "after"}')

    async def go_back() -> None:
        url = fresh.runtime["http_url"]
        async with browser() as started, tab(started, url) as here:
            await here.open("/console/backups")
            await here.page.locator(".row-link").click()
            await here.page.get_by_role("link", name="Restore…").click()
            await here.says("What would be done")
            await here.is_in_order("what a restore would do")
            await here.press("Restore…")
            await here.is_in_order("the question before a restore")
            await here.press("Restore")
            await here.says("The store is as it was at position 1")
            # While the service restarted, the page's requests failed with 503 until it was back.
            assert all("503" in one for one in here.complaints)
            here.complaints.clear()
            await here.is_in_order("how the restore ended")

    asyncio.run(go_back())

    assert fresh.ask("query", "app_state.get", '{"key": "k"}')["value"] == "before"
    # The restored backup, and the one that the restore made of the store before.
    assert {name} < {one["name"] for one in fresh.ask("backup", "list")}


def test_a_moment_that_is_none_is_refused_and_nothing_is_done(fresh: Served) -> None:
    fresh.ask("send", "app_state.set", '{"key": "k", "value": 1}')
    look = f"{RESTORE}?backup={fresh.ask('backup', 'create')['path'].rpartition('/')[2]}"
    with fresh.http() as http:
        for wrong in ("position=x", "position=99", "time=yesterday", "backup=../../etc/passwd"):
            assert http.get(f"{RESTORE}?{wrong}").status_code in (400, 404), wrong
        http.get("/console")
        csrf_token = http.get("/session").json()["csrf_token"]
        refused = http.post(RESTORE, data={"csrf_token": csrf_token, "back": look})
        assert refused.status_code == 303
        page = http.get(refused.headers["location"]).text
        assert "a restore goes to" in page
        # The unticked box stays unticked in the refused form, though a new form has it ticked.
        assert 'name="safety" value="yes">' in page
        assert 'name="safety" value="yes" checked>' in http.get(look).text
        # Loading a page is no administrative act: the audit log has only the backup.
        acts = http.get("/api/v1/admin/audit", params={"action": "backup.*"}).json()["items"]
        assert {one["action"] for one in acts} == {"backup.create"}
    assert fresh.ask("query", "service.status")["timeline"] == 1
