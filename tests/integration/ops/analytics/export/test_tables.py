"""The tables of a snapshot: files without a change since the snapshot before are not written again."""

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from migrations.connection import open_writer
from ops.analytics import connect
from ops.analytics.export import sealed_source, table_files, table_parts
from ops.analytics.lake.manifest import read_manifest
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.sound import open_sealed
from ops.store.projections_check import rebuild_file
from projections.tables import TABLE_COLUMNS
from tests.support.stores.backing_up import VERSION, Stored
from tests.support.stores.lakes import exported, rows_of, rows_shown
from tests.support.stores.writing import Sent


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (table_files, table_parts):
        monkeypatch.setattr(module, "PART_ROWS", 20)
        monkeypatch.setattr(module, "GROUP_ROWS", 5)
    monkeypatch.setattr(sealed_source, "BATCH_ROWS", 5)


def backed_up(stored: Stored, commands: int) -> Backup:
    stored.work(commands)
    stored.clock.now += 1_000
    return stored.backup()


def inodes(lake: Path, table: str, snapshot: int) -> list[int]:
    """The inodes of a table's files."""
    manifest = read_manifest(lake)
    assert manifest is not None
    return [(lake / file.path).stat().st_ino for file in manifest.snapshots[snapshot].tables[table]]


def assert_shown_as_in(lake: Path, *backups: Backup) -> None:
    for backup in backups:
        with closing(connect(lake, snapshot=backup.name)) as connection:
            with closing(open_sealed(backup.path)) as source:
                assert rows_shown(connection) == rows_of(source)
            # Readers of the folders see the same.
            for table in ("jobs", "job_history", "app_state"):
                [(shown,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
                [(read,)] = connection.execute(
                    f"SELECT count(*) FROM read_parquet('{lake}/{table}/*/*.parquet', hive_types ="
                    " {'snapshot': VARCHAR}) JOIN snapshots USING (snapshot) WHERE is_shown"
                ).fetchall()
                assert read == shown


def test_each_snapshot_has_its_rows_whatever_of_them_was_there_before(stored: Stored, lake: Path):
    backups = []
    for commands in (120, 0, 40, 1):
        backups.append(backed_up(stored, commands))
        assert exported(stored, lake).refused == []

    assert_shown_as_in(lake, *backups)


def test_a_part_that_nothing_has_changed_in_is_there_once(stored: Stored, lake: Path):
    stored.store.send_together(*[Sent("jobs.enqueue", {"type": "a", "name": "a"})] * 70)
    first = backed_up(stored, 0)
    exported(stored, lake)
    stored.store.send_together(*[Sent("jobs.enqueue", {"type": "b", "name": "b"})] * 3)
    second = backed_up(stored, 0)
    exported(stored, lake)

    before, after = inodes(lake, "jobs", 0), inodes(lake, "jobs", 1)
    # The last file is not full, so new rows go into it.
    assert len(before) == 4
    assert after[:3] == before[:3]
    assert after[3] != before[3]
    # The table of queues has not changed.
    assert inodes(lake, "queues", 0) == inodes(lake, "queues", 1)
    assert_shown_as_in(lake, first, second)


def test_jobs_that_left_their_table_leave_the_part_that_they_were_in(stored: Stored, lake: Path):
    stored.store.send_together(
        *[Sent("jobs.enqueue", {"type": "a", "name": "a", "id": f"a-{n}"}) for n in range(70)]
    )
    stored.store.send("jobs.claim", {"worker": "w", "limit": 30})
    first = backed_up(stored, 0)
    exported(stored, lake)
    for number in range(40, 45):
        stored.store.send("jobs.cancel", {"id": f"a-{number}"})
        stored.store.send("jobs.archive", {"id": f"a-{number}"})
    second = backed_up(stored, 0)
    exported(stored, lake)

    assert second.metadata.rows["jobs"] == first.metadata.rows["jobs"] - 5
    assert set(inodes(lake, "jobs", 0)) & set(inodes(lake, "jobs", 1))
    assert_shown_as_in(lake, first, second)


def test_after_a_restore_the_rows_that_were_given_up_are_taken_from_no_earlier_snapshot(
    stored: Stored, lake: Path
):
    kept = backed_up(stored, 100)
    given_up = backed_up(stored, 60)
    exported(stored, lake)
    stored.close()
    restore(stored.places, Moment(backup=kept.name), version=VERSION, now_ms=stored.clock.now)
    stored.reopen()
    now = backed_up(stored, 40)
    assert exported(stored, lake).refused == []

    assert_shown_as_in(lake, kept, given_up, now)
    assert len(list_backups(stored.folder)) == 4


def test_rows_that_a_rebuild_has_put_right_are_right_in_the_next_snapshot(stored: Stored, lake: Path):
    stored.work(100)
    connection = open_writer(stored.path)
    connection.execute("UPDATE app_state SET value = '\"another\"' WHERE key = 'key-1'")
    connection.execute("INSERT INTO rate_limits (id, platform, last_updated) VALUES ('x', 'stray', 1)")
    assert connection.total_changes() == 2
    connection.close()
    damaged = backed_up(stored, 0)
    exported(stored, lake)
    report = rebuild_file(stored.path)
    assert report["rebuilt_streams"] + report["removed_rows"] == 2
    repaired = backed_up(stored, 0)
    assert exported(stored, lake).refused == []

    assert damaged.metadata.position == repaired.metadata.position
    assert_shown_as_in(lake, damaged, repaired)
    later = backed_up(stored, 0)
    exported(stored, lake)
    assert inodes(lake, "app_state", 1) == inodes(lake, "app_state", 2)
    assert_shown_as_in(lake, repaired, later)


def test_another_version_of_the_service_may_make_other_rows_of_the_same_events(stored: Stored, lake: Path):
    backed_up(stored, 100)
    exported(stored, lake)
    connection = open_writer(stored.path)
    connection.execute("UPDATE app_state SET value = '\"as that version has it\"' WHERE key = 'key-1'")
    connection.close()
    stored.clock.now += 1_000
    upgraded = create_backup(stored.path, stored.folder, version="0.0.1", now_ms=stored.clock.now)
    assert exported(stored, lake).refused == []

    assert_shown_as_in(lake, upgraded)


def test_where_files_have_one_name_alone_they_are_copied(
    stored: Stored, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    synced = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    first = backed_up(stored, 100)
    exported(stored, lake)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "fsync", noted)
    second = backed_up(stored, 5)
    exported(stored, lake)

    copies = {inode for table in TABLE_COLUMNS for inode in inodes(lake, table, 1)}
    assert not set(inodes(lake, "app_state", 0)) & copies
    assert copies <= synced
    assert_shown_as_in(lake, first, second)


def test_a_disk_that_is_full_is_not_taken_for_one_without_links(
    stored: Stored, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    backed_up(stored, 100)
    exported(stored, lake)
    monkeypatch.setattr(os, "link", refuse)
    backed_up(stored, 5)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        exported(stored, lake)
