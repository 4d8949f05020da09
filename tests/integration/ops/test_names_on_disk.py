"""Files and folders have their names on disk when the program reports them: a power cut takes none away."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ops.backup.create import create_backup
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.targets.places import Places
from ops.targets.sealing import write_new_identity
from tests.support.services.command_line import hyperpage
from tests.support.stores.backing_up import VERSION, Stored


def back_up(folder: Path) -> Iterable[Path]:
    with Stored(folder / "data") as stored:
        stored.work(5)
        backup = create_backup(stored.path, folder / "elsewhere" / "backups", version=VERSION)
    return backup.path, folder / "elsewhere" / "backups", folder / "elsewhere"


def restore_elsewhere(folder: Path) -> Iterable[Path]:
    with Stored(folder / "data") as stored:
        stored.work(5)
        stored.backup()
        stored.places.store.unlink()
    new = folder / "another" / "place"
    places = Places(store=new / "hyperpage.db", backups=stored.folder, archive=folder / "archive")
    restore(places, Moment(latest=True), version=VERSION)
    return new / "hyperpage.db", new, folder / "another"


def make_identity(folder: Path) -> Iterable[Path]:
    write_new_identity(folder / "key.txt")
    return (folder / "key.txt",)


def make_user(folder: Path) -> Iterable[Path]:
    seed = folder / "billing.nk"
    made = hyperpage(
        "user", "create", "billing", "--allow", "jobs.*", "--out", seed, "--data", folder / "data"
    )
    assert made.code == 0, made.err
    return seed, folder / "data"


@pytest.mark.parametrize("make", [back_up, restore_elsewhere, make_identity, make_user])
def test_what_was_made_has_its_name_on_disk(
    make: Callable[[Path], Iterable[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder is synced after the name is in it, and each file with its content."""
    synced: dict[int, set[str]] = {}
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        names = os.listdir(descriptor) if stat.S_ISDIR(found.st_mode) else ()
        synced.setdefault(found.st_ino, set()).update(names)

    monkeypatch.setattr(os, "fsync", note)

    made = make(tmp_path)

    for path in made:
        assert path.name in synced.get(path.parent.stat().st_ino, set()), path
        assert path.is_dir() or path.stat().st_ino in synced, path
