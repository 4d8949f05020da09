"""The console's pages of backups, and what is done there; going back to one is an end-to-end test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons

BACKUPS = "/console/backups"
RESTORE = f"{BACKUPS}/-/restore"


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[HttpTalk]:
    """A service that makes backups only when it is asked to."""
    with HttpTalk(tmp_path, backup_interval_minutes=0) as talk:
        talk.command("app_state.set", {"key": "k", "value": 1})
        yield talk


def listed(talk: HttpTalk) -> list[Any]:
    items: list[Any] = talk.administer("backup.list").said["items"]
    return items


def test_a_backup_is_made_checked_proven_and_kept(quiet: HttpTalk) -> None:
    operator, administrator = Visitor(quiet, "operate"), Visitor(quiet, "admin")
    assert "There is no backup yet." in operator.page(BACKUPS)

    assert operator.does(BACKUPS, description=HOSTILE).startswith("The backup is being made")
    operator.waits_for(BACKUPS, "There is a new backup")
    [made] = listed(quiet)
    page = f"{BACKUPS}/{made['name']}"
    for text in (operator.page(BACKUPS), operator.page(page)):
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text

    assert f"signed by <code>{made['signed_by']}</code>" in operator.page(page)
    operator.does(page, verb="verify")
    operator.waits_for(page, f"{made['name']} is in order")
    operator.does(page, verb="drill")
    operator.waits_for(page, f"{made['name']} is proven")
    assert listed(quiet)[0]["status"] == "proven"

    assert administrator.does(f"{page}/pin", verb="pin") == "It is kept for good"
    assert listed(quiet)[0]["metadata"]["pinned"]
    administrator.does(f"{page}/pin", verb="unpin")
    assert not listed(quiet)[0]["metadata"]["pinned"]


def test_what_cannot_be_proven_is_told(quiet: HttpTalk) -> None:
    operator = Visitor(quiet, "operate")
    name = "hyperpage-backup-20200101T000000000Z.db"
    assert operator.get(f"{BACKUPS}/{name}").status_code == 404
    operator.post(f"{BACKUPS}/{name}", verb="drill")
    operator.waits_for(BACKUPS, f"there is no backup {name}")


def test_who_may_not_is_shown_no_button_and_refused(quiet: HttpTalk) -> None:
    quiet.administer("backup.create", {"description": ""})
    page = f"{BACKUPS}/{listed(quiet)[0]['name']}"
    reader, operator = Visitor(quiet, "read"), Visitor(quiet, "operate")

    assert buttons(reader.page(BACKUPS)) == buttons(reader.page(page)) == []
    assert "Restore…" not in buttons(operator.page(page))
    assert reader.post(BACKUPS).status_code == 403
    assert reader.post(page, verb="drill").status_code == 403
    assert operator.post(f"{page}/pin", verb="pin").status_code == 403
    assert operator.post(RESTORE, position="1").status_code == 403
    assert operator.get(RESTORE).status_code == 403
    assert len(listed(quiet)) == 1
