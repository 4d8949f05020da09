"""Backups, archive and restores on disks that are really full, sooner or later: done, or told why not."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from migrations.sqlite_words import kind_of
from ops.archive.replay import reach
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.swap import finish_swap
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets.places import Places
from ops.targets.sealing import Sealing
from tests.support.machines.small_disk import PAGE_BYTES, SmallDisk, small_disk
from tests.support.stores.backing_up import VERSION, archived_rows, tables_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.scene import Scene

DISK_BYTES = 16 * 1024 * 1024
RESTORED = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


def rooms(most_bytes: int, count: int | None) -> list[int]:
    """The free room of each try, in bytes, growing up to enough; page by page if `count` is `None`."""
    step = PAGE_BYTES if count is None else most_bytes // count // PAGE_BYTES * PAGE_BYTES
    return [*range(0, most_bytes, step), most_bytes]


def is_done(work: Callable[[], object]) -> bool:
    """True if the work was done; False if it failed with the message that the disk is full."""
    try:
        work()
    except apsw.Error as error:
        if not issubclass(kind_of(error), apsw.FullError):
            raise
        return False
    except OSError as error:
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            raise
        return False
    return True


COUNTS = pytest.mark.parametrize("count", [10, pytest.param(None, marks=pytest.mark.prove)])


@COUNTS
@pytest.mark.parametrize("sealing", [Sealing(), Sealing("zstd")], ids=["plain", "compressed"])
def test_a_backup_is_made_or_it_is_told_that_there_is_no_room(
    tmp_path: Path, disk: SmallDisk, sealing: Sealing, count: int | None
):
    scene = Scene.make(tmp_path / "scene")
    store, folder = scene.places.store, disk.folder / "backups"
    before = tables_of(store)
    create_backup(store, folder, version=VERSION)
    free = disk.free_bytes
    done = []
    for room in rooms(4 * store.stat().st_size, count):
        with disk.leaving(room):
            done.append(is_done(lambda: create_backup(store, folder, version=VERSION, sealing=sealing)))
        backups = list_backups(folder)
        # Verifying a compressed backup takes room as well, so the disk is not filled here.
        for one in backups:
            verify_backup(one.place)
        assert len(backups) == 1 + done[-1], room
        for one in backups[:-1]:
            one.path.unlink()
            one.path.with_name(f"{one.name}.meta.json").unlink()
        # A backup that had no room leaves nothing that takes some.
        assert disk.free_bytes == free, room
    assert done == sorted(done)
    assert {True, False} == set(done)
    assert tables_of(store) == before


@COUNTS
def test_the_archive_goes_on_where_there_was_no_room(tmp_path: Path, disk: SmallDisk, count: int | None):
    before = Scene.make(disk.folder / "before")
    rows = before.rows
    done = []
    for room in rooms(64 * 1024, None if count is None else 8):
        after = before.copy(disk.folder / "after")
        with disk.leaving(room):
            done.append(is_done(after.archive))
            found = reach(after.places.archive)
            assert found is not None
            archived = list(archived_rows(after.places.archive, found[1]))
            assert archived == rows[: len(archived)]
        after.archive()
        assert list(archived_rows(after.places.archive, found[1])) == rows
    assert {True, False} == set(done)


@COUNTS
def test_a_store_is_restored_or_as_it_was_where_there_is_no_room(
    tmp_path: Path, disk: SmallDisk, count: int | None
):
    before = Scene.make(tmp_path / "before")
    elsewhere = before.copy(tmp_path / "elsewhere").folder / "backups"
    rows = before.rows
    done = []
    for room in rooms(6 * before.places.store.stat().st_size, count):
        after = before.copy(disk.folder / "after")
        # The backups are on another disk, and have room.
        places = Places(store=after.places.store, backups=elsewhere, archive=after.places.archive)
        with disk.leaving(room):
            done.append(
                is_done(lambda: restore(places, Moment(position=RESTORED), version=VERSION))  # noqa: B023
            )
            finish_swap(places.store)
            if done[-1]:
                assert log_of(places.store)[:-1] == rows[:RESTORED]
            else:
                assert log_of(places.store) == rows
                assert not list(after.folder.glob("*restor*"))
        assert verify(places.store)["equal"], room
    assert {True, False} == set(done)
