"""The file system that records: its recording has each change in order, with the code that synced."""

import mmap
import os
from pathlib import Path

import pytest

from bus.kept_files import write_private
from tests.lab.cuts.recording import ROOT, Change, Mounted, why_not_mounted
from tests.lab.cuts.sites import told

pytestmark = pytest.mark.skipif(
    why_not_mounted() is not None, reason=f"no recordings here: {why_not_mounted()}"
)


def kinds(changes: list[Change]) -> list[str]:
    return [one.kind for one in changes if one.name not in ("said", "sites")]


def test_whatever_is_done_is_recorded_in_order(tmp_path: Path) -> None:
    with Mounted(tmp_path) as mounted:
        folder = mounted.root / "folder"
        folder.mkdir()
        descriptor = os.open(folder / "a", os.O_RDWR | os.O_CREAT, 0o640)
        os.write(descriptor, b"hello")
        os.pwrite(descriptor, b"H", 0)
        os.fsync(descriptor)
        os.ftruncate(descriptor, 2)
        os.fdatasync(descriptor)
        os.close(descriptor)
        (folder / "a").rename(mounted.root / "b")
        os.link(mounted.root / "b", folder / "c")
        (folder / "c").chmod(0o600)
        (folder / "c").unlink()
        mounted.mark(b"done")
        assert (mounted.root / "b").read_bytes() == b"He"
        changes = mounted.changes()

    assert kinds(changes) == [
        *("folder", "create", "write", "write", "sync", "truncate", "datasync"),
        *("rename", "link", "mode", "unlink", "mark"),
    ]
    renamed = next(one for one in changes if one.kind == "rename")
    assert (renamed.name, renamed.new_name, renamed.other) == ("a", "b", ROOT)
    assert changes[-1].data == b"done"


def test_an_open_file_that_is_replaced_or_deleted_loses_its_name_in_one_step(tmp_path: Path) -> None:
    with Mounted(tmp_path) as mounted:
        (mounted.root / "a").touch()
        (mounted.root / "b").touch()
        with (mounted.root / "b").open("r+") as replaced:
            (mounted.root / "a").rename(mounted.root / "b")
            with (mounted.root / "b").open("r+") as deleted:
                (mounted.root / "b").unlink()
                deleted.write("still there")
                deleted.flush()
            replaced.write("likewise")
        changes = mounted.changes()

    assert kinds(changes) == ["create", "create", "rename", "unlink", "write", "write"]


def test_what_is_mapped_and_locked_works_as_elsewhere(tmp_path: Path) -> None:
    with Mounted(tmp_path) as mounted, (mounted.root / "a").open("w+b") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as mapped:
            mapped[:5] = b"hello"
            mapped.flush()
        assert os.pread(file.fileno(), 5, 0) == b"hello"
        os.lockf(file.fileno(), os.F_TLOCK, 10)


def test_a_sync_says_whose_it_is(tmp_path: Path) -> None:
    with Mounted(tmp_path) as mounted, told(mounted.root):
        write_private(mounted.root / "tokens.json", b"{}")
        changes = mounted.changes()

    sites = [one.site for one in changes if one.kind == "sync"]
    assert [site.split(" ", 1)[1].split(", for ")[0] for site in sites] == ["write_private", "sync_folder"]
    assert all(site.startswith("bus/kept_files.py:") for site in sites)


def test_a_number_that_the_disk_gives_again_is_another_file(tmp_path: Path) -> None:
    with Mounted(tmp_path) as mounted:
        for number in range(5):
            path = mounted.root / "a"
            path.write_text(str(number))
            path.unlink()
        changes = mounted.changes()

    made = [one.other for one in changes if one.kind == "create"]
    assert len(made) == len(set(made))
