"""Backups and restores that are killed, or run out of room, at any moment: nothing good is lost."""

import errno
import os
import random
import subprocess
from pathlib import Path

import apsw
import pytest

from bus.log import chain
from migrations.connection import open_reader, open_writer
from ops.backup import create, metadata
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups
from ops.backup.restoring import materialize, swap
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.swap import finish_swap
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets import target
from tests.support.services.command_line import PROGRAM, environment
from tests.support.stores.backing_up import VERSION, Stored, tables_of
from tests.support.stores.looking_inside import log_of


def filled(folder: Path, commands: int = 200) -> Stored:
    """A store with a backup, closed."""
    stored = Stored(folder)
    stored.work(commands)
    stored.backup("the first")
    stored.work(commands)
    stored.close()
    return stored


def killed(chance: random.Random, *arguments: str) -> bool:
    """Runs a command and kills it at a random moment of its usual time; False if it had ended before."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        process.wait(timeout=chance.uniform(0.3, 1.6))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def kill_backups(folder: Path, rounds: int) -> None:
    stored = filled(folder)
    chance = random.Random(1)
    for number in range(rounds):
        killed(chance, "backup", "create", "--data", str(folder))
        for backup in list_backups(stored.folder):
            verify_backup(backup.path, whole=False)
        assert list_backups(stored.folder), f"round {number}"
    # Leftovers of killed backups do not hinder the next one.
    assert create_backup(stored.path, stored.folder, version=VERSION).metadata.position > 0


def kill_restores(folder: Path, rounds: int) -> None:
    stored = filled(folder)
    chance = random.Random(2)
    ends = {"old": 0, "new": 0}
    for number in range(rounds):
        before = log_of(stored.path)
        tables = tables_of(stored.path)
        position = chance.randint(1, before[-1].position)
        arguments = ("backup", "restore", "--to-position", str(position), "--yes", "--data", str(folder))
        killed(chance, *arguments)
        finish_swap(stored.path)
        after = log_of(stored.path)
        if after == before:
            ends["old"] += 1
            assert tables_of(stored.path) == tables, f"round {number}"
        else:
            ends["new"] += 1
            assert after[:-1] == before[:position], f"round {number}"
            assert after[-1].type == "timeline.forked.v1"
            assert verify(stored.path)["equal"], f"round {number}"
        connection = open_reader(stored.path)
        chain.verify_chain(connection)
        connection.close()
    print(f"of {rounds} restores that were killed: {ends}")


def test_a_backup_that_is_killed_leaves_no_backup_behind(tmp_path: Path):
    kill_backups(tmp_path, 4)


def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(tmp_path: Path):
    kill_restores(tmp_path, 4)


@pytest.mark.prove
@pytest.mark.timeout(1_200)
def test_many_backups_that_are_killed_leave_none_behind(tmp_path: Path):
    kill_backups(tmp_path, 100)


@pytest.mark.prove
@pytest.mark.timeout(1_200)
def test_many_restores_that_are_killed_leave_the_old_store_or_the_new_one(tmp_path: Path):
    kill_restores(tmp_path, 100)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


STEPS_OF_CREATION: list[tuple[object, str]] = [
    (create, "copy_store"),
    (create, "check_copy"),
    (target, "sync_file"),
    (create, "move_file"),
    (target, "sync_folder"),
    (create, "write_metadata"),
    (metadata, "write_file"),
]
STEPS_OF_RESTORE: list[tuple[object, str]] = [
    (materialize, "_copy"),
    (materialize, "_cut"),
    (materialize, "_fork"),
    (materialize, "rebuild_file"),
    (materialize, "seal"),
    (swap, "sync_folder"),
]


@pytest.mark.parametrize(("module", "step"), STEPS_OF_CREATION)
def test_a_full_disk_at_any_step_of_a_backup_is_told_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
):
    stored = filled(tmp_path, 30)
    before = sorted(stored.folder.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(module, step, full_disk)
        with pytest.raises(OSError, match="No space"):
            create_backup(stored.path, stored.folder, version=VERSION)
    # A backup whose name could not be synced may stay: it is a file without metadata.
    left = [path for path in sorted(stored.folder.iterdir()) if path not in before]
    assert [one.metadata.description for one in list_backups(stored.folder)] == ["the first"]
    assert left == [] or (step == "sync_folder" and module is target and len(left) == 1)
    create_backup(stored.path, stored.folder, version=VERSION)


@pytest.mark.parametrize(("module", "step"), STEPS_OF_RESTORE)
def test_a_full_disk_at_any_step_of_a_restore_is_told_and_leaves_one_store_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
):
    stored = filled(tmp_path, 30)
    before = tables_of(stored.path)
    with monkeypatch.context() as patched:
        patched.setattr(module, step, full_disk)
        with pytest.raises(OSError, match="No space"):
            restore(stored.places, Moment(position=5), version=VERSION)
    finished = finish_swap(stored.path)
    if finished is None:
        assert tables_of(stored.path) == before
    else:
        assert log_of(stored.path)[-1].position == 6
    assert verify(stored.path)["equal"]
    assert restore(stored.places, Moment(position=4), version=VERSION).position == 4


def test_without_room_for_a_safety_backup_nothing_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stored = filled(tmp_path, 30)
    before = tables_of(stored.path)

    def no_room(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    with monkeypatch.context() as patched:
        # Only the disk of the backups is full; the store is on another one.
        patched.setattr(create, "copy_store", no_room)
        with pytest.raises(apsw.FullError):
            restore(stored.places, Moment(position=5), version=VERSION)
    assert tables_of(stored.path) == before
    assert not list(tmp_path.glob("*restor*"))
    assert not list(tmp_path.glob("*set-aside*"))


def test_a_backup_does_not_wait_for_the_writer_nor_the_writer_for_it(tmp_path: Path):
    stored = Stored(tmp_path)
    stored.work(50)
    writer = open_writer(stored.path)
    writer.execute("BEGIN IMMEDIATE")
    try:
        # A write transaction is open the whole time.
        backup = create_backup(stored.path, stored.folder, version=VERSION)
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    assert backup.metadata.position == stored.store.writer.head.position
    stored.close()
