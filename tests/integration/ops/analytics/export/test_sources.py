"""Sources of a lake: backups of several timelines, and events that only the archive has."""

from contextlib import closing
from pathlib import Path

import pyrage
import pytest

from ops.analytics import connect
from ops.analytics.export import archive_source, exporting, merging
from ops.analytics.export.exporting import export
from ops.analytics.lake.manifest import read_manifest
from ops.archive.segment import list_segments
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore_path import Moment
from ops.backup.sound import open_sealed
from tests.support.stores.archived import Archived
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.lakes import exported, restored, rows_at, rows_of, rows_shown, worked
from tests.support.stores.writing import Sent


def positions_of(lake: Path, view: str, snapshot: str | None = None) -> list[tuple[int, int]]:
    with closing(connect(lake, snapshot=snapshot)) as connection:
        return connection.execute(f"SELECT timeline, position FROM {view} ORDER BY ALL").fetchall()


def test_what_the_archive_has_beyond_the_backups_is_in_the_lake(archived: Archived, lake: Path):
    worked(archived)
    backup = archived.backup()
    at_backup = archived.store.writer.head.position
    moments = [worked(archived) for _ in range(3)]
    end = moments[-1][0]

    report = exported(archived, lake)

    assert (report.exported, report.refused) == ([backup.name], [])
    assert (report.events, report.archived, report.position) == (end, end - at_backup, end)
    with closing(connect(lake)) as connection:
        for position, tables in moments:
            assert rows_at(connection, str(position)) == tables
        # The views show the moment of the backup.
        with closing(open_sealed(backup.path)) as source:
            assert rows_shown(connection) == rows_of(source)
    assert positions_of(lake, "events") == [(1, position) for position in range(1, at_backup + 1)]
    assert positions_of(lake, "history_events") == [(1, position) for position in range(1, end + 1)]


def test_the_next_export_takes_only_what_has_come_since(archived: Archived, lake: Path):
    first, _ = worked(archived)
    assert exported(archived, lake).archived == first
    second, tables = worked(archived)
    files = {path: path.read_bytes() for path in lake.rglob("*.parquet")}

    report = exported(archived, lake)
    archived.backup()
    of_backup = exported(archived, lake)

    assert (report.events, report.archived) == (second - first, second - first)
    # The lake has the backup's events from the archive already: only its tables are new.
    assert (len(of_backup.exported), of_backup.events) == (1, 0)
    assert {path: path.read_bytes() for path in files} == files
    assert positions_of(lake, "events") == [(1, position) for position in range(1, second + 1)]
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == rows_at(connection, str(second)) == tables


@pytest.mark.prove
def test_an_export_every_hour_for_long_needs_no_more_memory(
    archived: Archived, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    # A file for each portion, and less memory than it would take to scan all files at once.
    monkeypatch.setattr(archive_source, "EVENTS_IN_FILE", 2)
    monkeypatch.setattr(merging, "SMALL_STRETCHES", 1_000)
    monkeypatch.setattr(exporting, "ENGINE_MEMORY", "64MB")
    position, tables = worked(archived, 3)
    for _ in range(40):
        position, tables = worked(archived, 3)

    report = exported(archived, lake)

    assert (report.refused, report.archived) == ([], position)
    assert len(list(lake.glob("events/*/*.parquet"))) > 30
    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(position)) == tables


@pytest.mark.prove
def test_large_payloads_are_exported_a_few_at_a_time(archived: Archived, lake: Path):
    large = {"type": "sync", "name": "large", "payload": {"pad": "x" * 200_000}}
    for _ in range(40):
        archived.store.send_together(*[Sent("jobs.enqueue", large)] * 10)
    archived.backup()

    report = exported(archived, lake)

    assert (report.refused, report.events) == ([], 400)
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == rows_at(connection, "400") == archived.store.in_writer(rows_of)
        files = [str(path) for path in lake.glob("[ej]*/*/*.parquet")]
        [(heaviest,)] = connection.execute(
            "SELECT max(row_group_bytes) FROM parquet_metadata($files)", {"files": files}
        ).fetchall()
    # All payloads together are 80 MB.
    assert heaviest < 72_000_000


def test_an_archive_alone_makes_a_lake(archived: Archived, lake: Path):
    position, tables = worked(archived)

    assert exported(archived, lake).archived == position

    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == tables
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (0,)


def test_after_a_restore_each_snapshot_shows_the_history_that_it_has(archived: Archived, lake: Path):
    worked(archived)
    kept = archived.backup()
    fork = archived.store.writer.head.position + 1
    given_up_at, given_up_tables = worked(archived)
    given_up = archived.backup()
    beyond, _ = worked(archived)
    restored(archived, Moment(backup=kept.name))
    # First fewer events than the restore gave up, then more.
    between_at, between = worked(archived, 10)
    first_of_two = exported(archived, lake)
    now_at, now_tables = worked(archived, 200)
    archived.backup()
    second_of_two = exported(archived, lake)

    assert first_of_two.refused == second_of_two.refused == []
    assert between_at < given_up_at < beyond < now_at
    forked = [(1, position) for position in range(1, fork)]
    assert positions_of(lake, "events") == forked + [(2, position) for position in range(fork, now_at + 1)]
    assert positions_of(lake, "events", given_up.name) == [(1, n) for n in range(1, given_up_at + 1)]
    assert positions_of(lake, "events", kept.name) == forked
    # The backup that the restore made first has all abandoned events.
    assert positions_of(lake, "all_events") == [(1, n) for n in range(1, beyond + 1)] + [
        (2, position) for position in range(fork, now_at + 1)
    ]
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == now_tables
        assert rows_at(connection, str(between_at)) == between
        assert rows_at(connection, f"'{kept.name}'") != given_up_tables
        assert connection.execute("SELECT * FROM timelines ORDER BY ALL").fetchall() == [
            (1, 1, fork - 1),
            (2, fork, now_at),
        ]
    with closing(connect(lake, snapshot=given_up.name)) as connection:
        assert rows_shown(connection) == rows_at(connection, str(given_up_at)) == given_up_tables


@pytest.mark.parametrize("is_archived", [pytest.param(False, marks=pytest.mark.prove), True])
def test_a_history_may_fork_anywhere(archived: Archived, lake: Path, is_archived: bool):
    worked(archived)
    archived.backup()
    fork, tables = worked(archived, 20)
    end, _ = worked(archived, 20)
    if is_archived:
        exported(archived, lake)
    restored(archived, Moment(position=fork))
    # Changes of keys that were there before the fork.
    first_at, _ = worked(archived, 60)

    from_archive = exported(archived, lake)
    archived.clock.now += 1_000
    archived.backup()
    now_at, now_tables = worked(archived, 60)
    report = exported(archived, lake)

    assert from_archive.refused == report.refused == []
    assert (from_archive.archived, report.archived) == (first_at - fork, now_at - first_at)
    assert fork < end
    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(fork)) == tables
        assert rows_at(connection, str(now_at)) == now_tables


def test_what_was_given_up_is_taken_from_the_archive_too(archived: Archived, lake: Path):
    worked(archived)
    kept = archived.backup()
    beyond, _ = worked(archived)
    restored(archived, Moment(backup=kept.name))
    now_at, now_tables = worked(archived, 10)
    # Without the restore's own backup, only the archive has the abandoned events.
    for backup in list_backups(archived.folder):
        if backup.name != kept.name:
            backup.path.unlink()
            backup.path.with_name(f"{backup.name}.meta.json").unlink()

    report = exported(archived, lake)

    assert report.refused == []
    assert now_at < beyond
    assert {one.timeline: one.last for one in read_manifest(lake).stretches} == {1: beyond, 2: now_at}  # type: ignore[union-attr]
    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(now_at)) == now_tables


def test_a_sealed_archive_needs_its_key(tmp_path: Path, lake: Path):
    sealed = Archived(tmp_path / "data", sealing=SEALED)
    worked(sealed)
    backup = sealed.backup()
    at_backup = sealed.store.writer.head.position
    end, tables = worked(sealed)

    without = exported(sealed, lake)
    wrong = exported(sealed, lake, identities=(pyrage.x25519.Identity.generate(),))
    right = exported(sealed, lake, identities=(KEY,))
    sealed.close()

    for report in (without, wrong):
        assert [one.reason for one in report.refused] == ["encrypted", "encrypted"]
        assert report.events == 0
    assert (right.exported, right.refused) == ([backup.name], [])
    assert (right.events, right.archived) == (end, end - at_backup)
    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(end)) == tables


def test_a_damaged_segment_is_refused_and_what_comes_before_it_is_taken(archived: Archived, lake: Path):
    before, tables = worked(archived)
    worked(archived)
    worked(archived)
    segment = list_segments(archived.places.archive)[1].path
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    report = exported(archived, lake)

    assert [one.reason for one in report.refused] == ["segment_damaged"]
    assert report.archived == before
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == tables
    assert not list(lake.rglob("*.tmp"))


def test_a_gap_in_the_archive_is_named(archived: Archived, lake: Path):
    before, _ = worked(archived)
    worked(archived)
    worked(archived)
    list_segments(archived.places.archive)[1].path.unlink()

    report = exported(archived, lake)

    assert [one.reason for one in report.refused] == ["unreachable_moment"]
    assert f"lacks event {before + 1}" in report.refused[0].message
    assert report.archived == before


def test_the_archive_of_another_store_is_refused(archived: Archived, tmp_path: Path, lake: Path):
    worked(archived)
    backup = archived.backup()
    foreign = Archived(tmp_path / "other", seed=1)
    worked(foreign, 90)
    foreign.close()

    report = export([backup], lake, store_id=None, archive=foreign.places.archive)

    assert (report.exported, [one.reason for one in report.refused]) == ([backup.name], ["foreign"])
    assert report.archived == 0
