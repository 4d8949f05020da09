"""The states that a disk may be in after a power cut, from recordings that are written by hand."""

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.lab.cuts.crash_states import Disk, Model, Rest
from tests.lab.cuts.recording import ROOT, SETTLED, Change

FOLDER, OLD, NEW = 2, 3, 4
# A file with a name in a folder, all of it on disk; then a new one takes its place.
SETTLED_FILE = (
    Change("folder", ROOT, FOLDER, 0o700, "folder"),
    Change("create", FOLDER, OLD, 0o600, "file"),
    Change("write", OLD, data=b"old"),
    Change("mark", 0, data=SETTLED),
)
WRITTEN = (Change("create", FOLDER, NEW, 0o600, "new"), Change("write", NEW, data=b"new"))
RENAMED = Change("rename", FOLDER, FOLDER, name="new", new_name="file")


def found(
    folder: Path, changes: Sequence[Change], model: Model, rest: Rest, seed: int = 0
) -> dict[str, bytes]:
    disk = Disk(model)
    for change in changes:
        disk.follow(change)
    root = Path(mkdtemp(dir=folder))
    disk.write_out(root, rest, random.Random(seed))
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}


def all_found(folder: Path, changes: Sequence[Change], model: Model) -> set[tuple[tuple[str, bytes], ...]]:
    return {
        tuple(sorted(found(folder, changes, model, rest, seed).items()))
        for rest in Rest
        for seed in range(40)
    }


@pytest.mark.parametrize("model", Model)
def test_what_is_synced_and_named_is_there_whatever_else_is_not(tmp_path: Path, model: Model) -> None:
    changes = [*SETTLED_FILE, *WRITTEN, Change("sync", NEW), RENAMED, Change("sync", FOLDER)]

    assert all_found(tmp_path, changes, model) == {(("folder/file", b"new"),)}


def test_a_file_that_takes_the_place_of_another_unsynced_may_be_anything(tmp_path: Path) -> None:
    seen = all_found(tmp_path, [*SETTLED_FILE, *WRITTEN, RENAMED], Model.STRICT)

    assert {dict(one)["folder/file"] for one in seen} == {b"old", b"new", b""}


def test_a_name_is_not_there_before_its_folder_was_synced(tmp_path: Path) -> None:
    changes = [*SETTLED_FILE, *WRITTEN, Change("sync", NEW), RENAMED]

    assert found(tmp_path, changes, Model.STRICT, Rest.NONE) == {"folder/file": b"old"}
    assert found(tmp_path, changes, Model.STRICT, Rest.ALL) == {"folder/file": b"new"}


def test_a_journal_brings_along_the_names_before_a_sync(tmp_path: Path) -> None:
    changes = [
        *SETTLED_FILE,
        *WRITTEN,
        RENAMED,
        Change("write", OLD, offset=3, data=b"more"),
        Change("sync", OLD),
    ]

    assert all(dict(one)["folder/file"] != b"old" for one in all_found(tmp_path, changes, Model.JOURNAL))
    assert found(tmp_path, changes, Model.STRICT, Rest.NONE) == {"folder/file": b"oldmore"}


def test_a_journal_changes_names_in_their_order(tmp_path: Path) -> None:
    changes = [
        *SETTLED_FILE,
        *(Change("create", FOLDER, NEW + number, 0o600, f"{number}") for number in range(4)),
    ]

    def names(model: Model) -> set[tuple[str, ...]]:
        return {
            tuple(name for name, _ in one if name != "folder/file")
            for one in all_found(tmp_path, changes, model)
        }

    assert names(Model.JOURNAL) == {
        tuple(f"folder/{number}" for number in range(count)) for count in range(5)
    }
    assert any(one and "folder/0" not in one for one in names(Model.STRICT))


def test_a_write_is_torn_at_sectors(tmp_path: Path) -> None:
    changes = [*SETTLED_FILE, Change("write", OLD, data=b"x" * 2_000)]

    seen = {dict(one)["folder/file"] for one in all_found(tmp_path, changes, Model.STRICT)}

    assert b"x" * 2_000 in seen
    assert b"old" in seen
    torn = [one for one in seen if len(one) > 512 and b"\0" in one]
    assert torn
    assert all(len(set(one[at : at + 512][3:])) <= 1 for one in torn for at in range(0, len(one), 512))


def test_a_file_below_a_folder_without_a_name_is_gone(tmp_path: Path) -> None:
    changes = [
        Change("folder", ROOT, FOLDER, 0o700, "folder"),
        Change("create", FOLDER, OLD, 0o600, "file"),
        Change("write", OLD, data=b"old"),
        Change("sync", OLD),
        Change("sync", FOLDER),
    ]

    assert found(tmp_path, changes, Model.STRICT, Rest.NONE) == {}
    assert found(tmp_path, [*changes, Change("sync", ROOT)], Model.STRICT, Rest.NONE) == {
        "folder/file": b"old"
    }


def test_a_cut_off_part_comes_back_or_not(tmp_path: Path) -> None:
    changes = [*SETTLED_FILE, Change("truncate", OLD, offset=1), Change("write", OLD, offset=1, data=b"ther")]

    seen = {dict(one)["folder/file"] for one in all_found(tmp_path, changes, Model.STRICT)}

    assert {b"old", b"o", b"other"} <= seen


def test_syncs_that_are_ignored_do_nothing(tmp_path: Path) -> None:
    disk = Disk(Model.STRICT, lambda site: site == "ours")
    for change in [*SETTLED_FILE, Change("write", OLD, data=b"new"), Change("sync", OLD, site="ours")]:
        disk.follow(change)

    disk.write_out(tmp_path, Rest.NONE, random.Random(0))

    assert (tmp_path / "folder" / "file").read_bytes() == b"old"
