"""Small files of the service, over a power cut: what was written last is what comes back."""

import os
import stat
from pathlib import Path

import pytest

from bus.kept_files import make_folder, write_private


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The syncs and renames of files, in order, each with the file's inode."""
    found: list[tuple[str, int]] = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        fsync(descriptor)
        found.append(("synced", os.fstat(descriptor).st_ino))

    def note_rename(path: Path, target: Path) -> Path:
        found.append(("renamed", path.stat().st_ino))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    return found


def test_a_file_and_then_its_name_are_on_disk(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    path = tmp_path / "tokens.json"
    path.write_text("before")

    write_private(path, b"now")

    own, folder = path.stat(), tmp_path.stat().st_ino
    assert steps == [("synced", own.st_ino), ("renamed", own.st_ino), ("synced", folder)]
    assert (path.read_bytes(), stat.S_IMODE(own.st_mode)) == (b"now", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_folders_on_the_way_are_on_disk_and_private(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    first, second = tmp_path / "first", tmp_path / "first" / "second"

    make_folder(second)
    make_folder(second)

    assert steps == [("synced", tmp_path.stat().st_ino), ("synced", first.stat().st_ino)]
    assert {stat.S_IMODE(one.stat().st_mode) for one in (first, second)} == {0o700}
