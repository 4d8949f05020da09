"""Commands refuse a path that is no regular file at once: a FIFO, a device, a folder."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ops.archive.segment import list_segments
from ops.backup.create import create_backup
from ops.backup.metadata import metadata_path, read_metadata, write_metadata
from ops.targets.sealing import Sealing
from tests.support.services.command_line import Result, hyperpage, separately
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION

Plant = Callable[[Path], object]


def pipe(place: Path) -> None:
    os.mkfifo(place)


def endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


def in_a_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        # A socket's name may have 108 bytes.
        here = Path.cwd()
        os.chdir(place.parent)
        try:
            opened.bind(place.name)
        finally:
            os.chdir(here)


def folder(place: Path) -> None:
    place.mkdir()


KINDS: list[Plant] = [pipe, endless, in_a_socket, folder]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    stored = Archived(data)
    stored.work(30)
    stored.archive()
    create_backup(stored.path, data / "backups", version=VERSION)
    stored.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def run(plant: Plant, *arguments: str | Path) -> Result:
    """Runs a command; in a process of its own if a mistake would have it wait for ever."""
    return (separately if plant is pipe else hyperpage)(*arguments)


def refused(result: Result, *codes: int) -> None:
    assert result.code in codes, result
    assert "no regular file" in result.err or "Is a directory" in result.err, result
    assert "Traceback" not in result.err


@pytest.mark.parametrize("plant", KINDS)
def test_an_import_of_it_is_refused(data: Path, tmp_path: Path, plant: Plant):
    plant(tmp_path / "old.db")
    refused(run(plant, "import", tmp_path / "old.db", "--data", data), 1)
    refused(run(plant, "import", tmp_path / "old.db", "--dry-run", "--data", data), 1)


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
@pytest.mark.parametrize("plant", KINDS)
def test_it_is_not_read_beside_an_old_file_either(data: Path, tmp_path: Path, plant: Plant, suffix: str):
    shutil.copy(data / "hyperpage.db", tmp_path / "old.db")
    plant(tmp_path / f"old.db{suffix}")
    refused(run(plant, "import", tmp_path / "old.db", "--dry-run", "--data", data), 1)


@pytest.mark.parametrize("plant", KINDS)
def test_a_body_of_it_is_refused(data: Path, tmp_path: Path, plant: Plant):
    plant(tmp_path / "body")
    for command in (("send", "app_state.set"), ("query", "app_state.get")):
        refused(run(plant, *command, f"@{tmp_path / 'body'}", "--data", data), 2)


@pytest.mark.parametrize("plant", KINDS)
def test_a_backup_of_it_is_refused(data: Path, plant: Plant):
    (backup,) = (data / "backups").glob("*.db")
    described = msgspec.json.decode(metadata_path(backup).read_bytes())
    assert described["size"] > 0
    backup.unlink()
    plant(backup)
    for command in (
        ("verify", backup),
        ("verify", backup.name, "--routine"),
        ("drill", backup),
        ("restore", backup, "--dry-run"),
        ("restore", backup, "--yes"),
    ):
        refused(run(plant, "backup", *command, "--data", data), 6)


@pytest.mark.parametrize("plant", KINDS)
def test_metadata_of_it_are_refused(data: Path, plant: Plant):
    (backup,) = (data / "backups").glob("*.db")
    metadata_path(backup).unlink()
    plant(metadata_path(backup))
    refused(run(plant, "backup", "verify", backup, "--data", data), 6)
    listed = run(plant, "backup", "list", "--data", data, "--json")
    assert (listed.code, listed.json) == (0, [])
    assert "no regular file" in listed.err or "Is a directory" in listed.err


@pytest.mark.parametrize("plant", KINDS)
def test_a_segment_of_it_is_damage(data: Path, plant: Plant):
    segment = list_segments(data / "archive")[0].path
    segment.unlink()
    plant(segment)
    refused(run(plant, "backup", "verify-archive", "--data", data), 6)


@pytest.mark.parametrize("plant", KINDS)
def test_a_key_of_it_is_refused(data: Path, tmp_path: Path, plant: Plant):
    (backup,) = (data / "backups").glob("*.db")
    plant(tmp_path / "key.txt")
    refused(run(plant, "backup", "verify", backup, "--identity", tmp_path / "key.txt", "--data", data), 1, 2)


def test_a_body_that_is_larger_than_any_message_is_not_read_to_its_end(data: Path, tmp_path: Path):
    with (tmp_path / "body").open("wb") as file:
        # The file has no blocks on the disk, but would fill the memory.
        file.truncate(1 << 40)
    result = hyperpage("send", "app_state.set", f"@{tmp_path / 'body'}", "--data", data)
    assert result.code == 2
    assert "it has more than 1048576 bytes" in result.err


def test_a_metadata_file_that_is_larger_than_any_is_not_read_to_its_end(data: Path):
    (backup,) = (data / "backups").glob("*.db")
    with metadata_path(backup).open("r+b") as file:
        file.truncate(1 << 40)
    result = hyperpage("backup", "verify", backup, "--data", data)
    assert result.code == 6
    assert "it has more than 1048576 bytes" in result.err


def test_a_backup_that_does_not_fit_on_the_disk_fills_none(data: Path):
    """The backup is a file of sixteen terabytes without blocks, and its metadata name that size."""
    (backup,) = (data / "backups").glob("*.db")
    size = 15 << 40
    with backup.open("r+b") as file:
        file.truncate(size)
    write_metadata(backup, msgspec.structs.replace(read_metadata(backup), size=size))
    result = hyperpage("backup", "restore", backup, "--yes", "--no-safety-backup", "--data", data)
    assert result.code == 1
    assert "bytes are needed there for a copy" in result.err


def test_a_compressed_backup_that_says_it_is_huge_fills_no_disk(data: Path, tmp_path: Path):
    sealed = create_backup(
        data / "hyperpage.db", tmp_path / "sealed", version=VERSION, sealing=Sealing("zstd")
    )
    write_metadata(sealed.place, msgspec.structs.replace(sealed.metadata, plain_size=1 << 60))
    for command in ("verify", "drill"):
        result = hyperpage("backup", command, sealed.path, "--data", data)
        assert result.code == 1
        assert "bytes are needed there for a copy" in result.err


def test_no_backup_and_no_metadata_are_written_to_what_a_link_leads_to(data: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (backup,) = (data / "backups").glob("*.db")
    (data / "backups" / f".{metadata_path(backup).name}.tmp").symlink_to(victim)
    now_ms = 1_800_000_000_000
    for suffix in ("", ".zst"):
        name = f".hyperpage-backup-20270115T080000000Z.db{suffix}.tmp"
        (data / "backups" / name).symlink_to(victim)

    assert hyperpage("backup", "pin", backup.name, "--data", data).code == 0
    for sealing in (Sealing("zstd"), Sealing()):
        made = create_backup(
            data / "hyperpage.db", data / "backups", version=VERSION, now_ms=now_ms, sealing=sealing
        )
        assert made.path.is_file()

    assert victim.read_text() == "as it was"


def test_a_link_that_leads_to_itself_is_no_backup(data: Path):
    loop = data / "backups" / "hyperpage-backup-20270115T080000000Z.db"
    loop.symlink_to(loop)
    listed = hyperpage("backup", "list", "--data", data, "--json")
    assert (listed.code, len(listed.json)) == (0, 1)
