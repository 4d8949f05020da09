"""The worst day: the service is started, and its store is gone, or is no database any more."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.patience import wait_for
from tests.support.services.command_line import Served, hyperpage, separately


def places_of(folder: Path) -> tuple[Path, dict[str, str]]:
    """The data directory of a service in a folder, and where its backups and archive are, as settings."""
    return folder / "data", {
        "HYPERPAGE_BACKUPS": str(folder / "outside" / "backups"),
        "HYPERPAGE_ARCHIVE": str(folder / "outside" / "archive"),
    }


def made_in(folder: Path) -> tuple[Path, dict[str, str]]:
    """The places of a service that has ended, with a backup and all of its log in the archive."""
    data, outside = places_of(folder)
    with Served(data, **outside) as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        assert hyperpage("backup", "create", "--data", data, **outside).code == 0
        service.ask("send", "app_state.set", '{"key": "k", "value": 2}')
        wait_for(lambda: service.status["archive"]["position"] == 2)
    return data, outside


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with store, backup and archive, which no test changes."""
    folder = tmp_path_factory.mktemp("made")
    made_in(folder)
    return folder


@pytest.fixture
def lost(made: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A copy of that folder in another place, for one test, which deletes the store."""
    return places_of(shutil.copytree(made, tmp_path / "moved"))


def command_in(hint: str, beginning: str) -> list[str]:
    """The command that a message tells to type."""
    _, found, rest = hint.partition(beginning)
    assert found, hint
    return shlex.split(beginning + rest.partition(";")[0])[1:]


@pytest.mark.parametrize("what", ["directory", "file", "content"])
def test_a_store_that_is_gone_is_not_replaced_by_a_new_one(
    lost: tuple[Path, dict[str, str]], what: str, tmp_path: Path
):
    data, outside = lost
    store = data / "hyperpage.db"
    if what == "directory":
        data.rename(tmp_path / "gone")
    elif what == "file":
        store.unlink()
    else:
        store.write_bytes(b"")

    refused = separately("serve", "--data", data, "--nats-port", "0", **outside)

    assert refused.code == 1
    assert "there is no store" in refused.err
    done = hyperpage(*command_in(refused.err, "hyperpage backup restore"), **outside)
    assert done.code == 0, done.err
    with Served(data, **outside) as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        wait_for(lambda: service.status["status"] == "healthy")


def test_a_store_that_was_spoiled_after_its_end_is_made_anew_by_itself(tmp_path: Path):
    data, outside = made_in(tmp_path)
    store = data / "hyperpage.db"
    store.write_bytes(b"\xa5" * 4096 + store.read_bytes()[4096:])
    with Served(data, **outside) as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert "it is being made anew, up to its last position 2" in service.log.read_text()
        assert [one["note"] for one in service.ask("status")["notes"]] == ["store_repaired"]


def test_a_new_store_is_begun_by_the_command_that_is_told(lost: tuple[Path, dict[str, str]], tmp_path: Path):
    data, outside = lost
    data.rename(tmp_path / "gone")
    outside["HYPERPAGE_ARCHIVE"] = str(tmp_path / "archive")
    refused = separately("serve", "--data", data, "--nats-port", "0", **outside)
    assert hyperpage(*command_in(refused.err, "hyperpage migrate up"), **outside).code == 0
    with Served(data, **outside) as service:
        assert service.runtime["position"] == 0


def test_a_store_that_is_gone_is_brought_back_by_itself_where_that_is_allowed(
    lost: tuple[Path, dict[str, str]], tmp_path: Path
):
    data, outside = lost
    data.rename(tmp_path / "gone")
    with Served(data, HYPERPAGE_RESTORE_WHEN_DAMAGED="true", **outside) as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert service.runtime["timeline"] == 2


def test_after_a_restore_that_was_cut_off_the_log_says_which_store_is_served(
    lost: tuple[Path, dict[str, str]],
):
    data, outside = lost
    # As a restore leaves it that was killed while it made the new store.
    (data / "hyperpage.db.restoring").write_bytes(b"half of it")
    with Served(data, **outside) as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert "this is the old store, as it was" in service.log.read_text()
    assert not (data / "hyperpage.db.restoring").exists()
