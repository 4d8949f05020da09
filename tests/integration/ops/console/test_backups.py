"""The console's pages of backups, and what is done there; going back to one is an end-to-end test."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import ops.backup.administration
from ops.backup.own_command import Ran
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons
from tests.support.services.watching import eventually

BACKUPS = "/console/backups"
PRUNE = f"{BACKUPS}/-/prune"
RESTORE = f"{BACKUPS}/-/restore"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """A service that makes backups only when it is asked to."""
    with HttpTalk(tmp_path_factory.mktemp("quiet") / "data", backup_interval_minutes=0) as talk:
        talk.command("app_state.set", {"key": "k", "value": 1})
        yield talk


@pytest.fixture(scope="module")
def reader(quiet: HttpTalk) -> Visitor:
    return Visitor(quiet, "read")


@pytest.fixture(scope="module")
def operator(quiet: HttpTalk) -> Visitor:
    return Visitor(quiet, "operate")


@pytest.fixture(scope="module")
def administrator(quiet: HttpTalk) -> Visitor:
    return Visitor(quiet, "admin")


@pytest.fixture
def backup(quiet: HttpTalk) -> str:
    """The name of the newest backup, of which there is one."""
    if not listed(quiet):
        quiet.administer("backup.create", {"description": ""})
    return str(listed(quiet)[0]["name"])


def listed(talk: HttpTalk) -> list[Any]:
    items: list[Any] = talk.administer("backup.list").said["items"]
    return items


# The first test of the file: there is no backup before it.
def test_a_backup_is_made_checked_proven_and_kept(
    quiet: HttpTalk, operator: Visitor, administrator: Visitor
) -> None:
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
    # The form for a restore lists the backups to choose from.
    form = administrator.page(RESTORE)
    assert re.search(rf'<option value="{made["name"]}">[^<]*, position 1, proven<', form)
    assert f'href="{RESTORE}?backup={made["name"]}"' in form

    assert administrator.does(f"{page}/pin", verb="pin") == "It is kept for good"
    assert listed(quiet)[0]["metadata"]["pinned"]
    administrator.does(f"{page}/pin", verb="unpin")
    assert not listed(quiet)[0]["metadata"]["pinned"]


def test_backups_are_deleted_and_pruned_but_not_those_that_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: dict[str, Any] = {"backup_retention_days": 0, "backup_keep_newest": 1}
    # Another process deletes backups, and reads its own settings.
    for rule, number in rules.items():
        monkeypatch.setenv(f"HYPERPAGE_{rule.upper()}", str(number))
    # No scheduled drill may prove a backup meanwhile, which would be kept for that.
    rules |= {"backup_interval_minutes": 0, "backup_drill_hours": 0}
    with HttpTalk(tmp_path, http_open=False, **rules) as talk:
        administrator, operator = Visitor(talk, "admin"), Visitor(talk, "operate")
        talk.command("app_state.set", {"key": "k", "value": 1})
        for _ in range(3):
            talk.administer("backup.create", {"description": HOSTILE})
        newest, old, oldest = (one["name"] for one in listed(talk))

        assert operator.get(PRUNE).status_code == 403
        assert operator.post(PRUNE).status_code == 403
        assert operator.post(f"{BACKUPS}/{oldest}/delete").status_code == 403
        assert "Prune…" not in buttons(operator.page(BACKUPS))
        assert "Delete…" not in buttons(operator.page(f"{BACKUPS}/{oldest}"))

        assert "Delete…" in buttons(administrator.page(f"{BACKUPS}/{oldest}"))
        administrator.post(f"{BACKUPS}/{newest}/delete")
        administrator.waits_for(BACKUPS, f"{newest} is kept: the newest")
        administrator.post(f"{BACKUPS}/{oldest}/delete")
        administrator.waits_for(BACKUPS, f"{oldest} is deleted")
        assert [one["name"] for one in listed(talk)] == [newest, old]

        # The archive needs one backup until it goes on from a newer one.
        administrator.waits_for(PRUNE, "Delete 1 backup?")
        look = administrator.page(PRUNE)
        assert look.count(">would be deleted<") == 1
        assert "kept: the newest" in look
        assert [one["name"] for one in listed(talk)] == [newest, old]
        assert administrator.does(PRUNE).startswith("Backups are being deleted")
        administrator.waits_for(BACKUPS, "1 backup was deleted, 1 is kept")
        assert [one["name"] for one in listed(talk)] == [newest]

        lines = talk.administer("audit.list", {"action": "backup.*"}).said["items"]
        acts = {(one["action"], one["outcome"]) for one in lines if one["actor"] == "a-admin-token"}
        assert {("backup.delete", "done"), ("backup.prune", "done")} <= acts


def test_a_look_waits_for_no_backup_starts_no_process_and_is_no_act(
    quiet: HttpTalk, administrator: Visitor, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    may_end = asyncio.Event()

    async def takes_for_ever(*said: object, **_: object) -> Ran:
        begun.append(said)
        await may_end.wait()
        return Ran(succeeded=False, answer={}, message="it was stopped", hint="make another one")

    monkeypatch.setattr(ops.backup.administration, "run_backup_command", takes_for_ever)
    administrator.post(BACKUPS, description="")
    eventually(quiet, lambda: begun)
    before = quiet.administer("audit.list").said["items"]
    assert "kept: the newest" in administrator.page(PRUNE)
    assert quiet.administer("audit.list").said["items"] == before
    # A dry run over NATS or HTTP is recorded as an act, and does not wait for the backup, either.
    assert quiet.administer("backup.prune", {"dry_run": True}).said["kept"] == {backup: "the newest"}
    newest = quiet.administer("audit.list").said["items"][0]
    assert (newest["action"], newest["dry_run"]) == ("backup.prune", True)
    assert len(begun) == 1
    may_end.set()
    administrator.waits_for(BACKUPS, "it was stopped")


def test_what_cannot_be_proven_is_told(operator: Visitor) -> None:
    name = "hyperpage-backup-20200101T000000000Z.db"
    assert operator.get(f"{BACKUPS}/{name}").status_code == 404
    operator.post(f"{BACKUPS}/{name}", verb="drill")
    operator.waits_for(BACKUPS, f"there is no backup {name}")


def test_a_restore_that_is_refused_keeps_its_form(administrator: Visitor) -> None:
    for said, number, why in (
        ({"position": "99"}, 404, "no backup"),
        ({"position": "99", "backup": "no-backup"}, 400, "it is a backup"),
        ({"time": "tomorrow"}, 400, "a time is written like"),
    ):
        refused = administrator.get(f"{RESTORE}?{urlencode(said)}")
        assert refused.status_code == number
        assert why in refused.text
        assert all(f'value="{value}"' in refused.text for value in said.values())
        # Sending the form all the same leads back to it, as it was filled in.
        back = f"{RESTORE}?{urlencode(said)}"
        assert administrator.post(RESTORE, **said, back=back).headers["location"] == back


def test_what_a_backup_is_for_is_there_to_be_corrected(quiet: HttpTalk, operator: Visitor) -> None:
    before = listed(quiet)
    operator.post(BACKUPS, description="before\tthe upgrade", back=BACKUPS)
    operator.waits_for(BACKUPS, "(at $.description)")
    assert listed(quiet) == before


def test_what_was_ticked_is_so_again_in_a_form_that_was_refused(administrator: Visitor) -> None:
    administrator.post(BACKUPS, description="z" * 5_000, prove="yes")
    administrator.waits_for(BACKUPS, 'name="prove" value="yes" checked>')


def test_who_may_not_is_shown_no_button_and_refused(
    quiet: HttpTalk, reader: Visitor, operator: Visitor, backup: str
) -> None:
    page, before = f"{BACKUPS}/{backup}", listed(quiet)
    assert buttons(reader.page(BACKUPS)) == buttons(reader.page(page)) == []
    assert "Restore…" not in buttons(operator.page(page))
    assert reader.post(BACKUPS).status_code == 403
    assert reader.post(page, verb="drill").status_code == 403
    assert operator.post(f"{page}/pin", verb="pin").status_code == 403
    assert operator.post(RESTORE, position="1").status_code == 403
    assert operator.get(RESTORE).status_code == 403
    assert listed(quiet) == before
