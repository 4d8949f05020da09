"""Files of a data directory are for its owner alone, also those that were open to others before."""

import asyncio
import logging
import os
import stat
import tempfile
from pathlib import Path

import pytest

from ops.settings import Settings
from ops.store.private_files import ForeignFileError, open_to_others, take_from_others
from tests.support.services.serving import service_on


@pytest.fixture(autouse=True)
def generous_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def others_may_use(folder: Path) -> set[str]:
    return {
        str(one.relative_to(folder))
        for one in folder.rglob("*")
        if not one.is_symlink() and one.stat().st_mode & 0o077
    }


def serve_once(data: Path) -> None:
    async def scenario() -> set[str]:
        async with service_on(data, None):
            return others_may_use(data)

    # Beside a running service too, whose WAL is there.
    assert asyncio.run(scenario()) == set()


def test_a_service_writes_for_its_owner_alone_whatever_the_umask_and_the_directory(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)

    serve_once(data)

    assert others_may_use(data) == set()
    assert stat.S_IMODE(data.stat().st_mode) == 0o755


def test_what_others_could_read_is_taken_from_them_at_the_next_start_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    serve_once(data)
    (data / "hyperpage.toml").write_text("nats_port = 0\n")
    (data / "backups").mkdir()
    (data / "backups" / "hyperpage-backup-1.db").write_bytes(b"")
    for one in [*data.rglob("*")]:
        one.chmod(0o755 if one.is_dir() else 0o666)
    (data / "of-somebody-else.txt").write_text("")
    caplog.clear()

    with caplog.at_level(logging.WARNING, "ops.store"):
        serve_once_beside_other_files = others_may_use(data)
        take_from_others(data, (data / "backups", data / "archive"))

    assert {"hyperpage.db", "nats/credentials.json", "backups"} <= serve_once_beside_other_files
    # A file that is not the service's keeps its permissions.
    assert others_may_use(data) == {"of-somebody-else.txt"}
    assert "could use " in caplog.text
    assert "and cannot any more" in caplog.text
    caplog.clear()
    take_from_others(data, (data / "backups", data / "archive"))
    assert caplog.text == ""


def test_places_outside_of_the_directory_and_what_symlinks_lead_to_stay_as_they_are(tmp_path: Path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir(mode=0o750)
    (elsewhere / "secret").write_text("")
    (data / "tokens.json").symlink_to(elsewhere / "secret")
    (data / "nats").mkdir()
    (data / "nats" / "jetstream").symlink_to(elsewhere)

    take_from_others(data, (elsewhere,))

    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o750
    assert stat.S_IMODE((elsewhere / "secret").stat().st_mode) == 0o666


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away, and act as another user")
def test_a_file_of_another_user_that_others_may_write_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        # Not below pytest's own, which other users may not enter.
        data = Path(folder)
        data.chmod(0o755)
        said = refused_to_another_user(data)

    assert "tokens.json belongs to another user (number 12345)" in said
    assert "chown" in said


def refused_to_another_user(data: Path) -> str:
    (data / "hyperpage.toml").write_text("")
    (data / "tokens.json").write_text("{}")
    os.chown(data / "tokens.json", 12345, 12345)

    os.seteuid(23456)
    try:
        take_from_others(data, ())
    except ForeignFileError as error:
        return f"{error} {error.hint}"
    finally:
        os.seteuid(0)
    return ""


def test_a_folder_of_backups_inside_belongs_to_the_directory(tmp_path: Path):
    settings = Settings(data=tmp_path, backups=str(tmp_path / "kept"))
    (tmp_path / "kept" / "old").mkdir(parents=True)
    found = open_to_others(settings.data, (settings.backup_folder, settings.archive_folder))
    assert [one.relative_to(tmp_path).as_posix() for one in found] == ["kept", "kept/old"]
