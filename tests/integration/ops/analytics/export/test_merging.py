"""Many small exports: their files become few, and readers do not notice."""

import errno
import gc
import os
from collections.abc import Callable
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ops.analytics import connect
from ops.analytics.export import exporting, merging
from ops.analytics.export.row_groups import write_groups
from ops.analytics.lake.database import write_views
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.locks import READERS
from ops.analytics.lake.manifest import Manifest, read_manifest, write_manifest
from ops.backup.restoring.restore_path import Moment
from tests.support.stores.archived import Archived
from tests.support.stores.lakes import exported, restored, rows_at, worked

FEW = 3


@pytest.fixture(autouse=True)
def merged_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "SMALL_STRETCHES", FEW)


def manifest_of(lake: Path) -> Manifest:
    manifest = read_manifest(lake)
    assert manifest is not None
    return manifest


def assert_each_once(lake: Path, end: int) -> None:
    """Checks that every event is there once: in the views, in `lake.duckdb`, and in the folder's files."""
    right = (end, end, end)
    query = "SELECT count(*), count(DISTINCT position), max(position) FROM"
    with closing(connect(lake)) as connection:
        assert connection.execute(f"{query} history_events").fetchone() == right
        files = f"read_parquet('{lake}/events/timeline=1/*.parquet')"
        assert connection.execute(f"{query} {files}").fetchone() == right
    with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as connection:
        assert connection.execute(f"{query} history_events").fetchone() == right


def test_what_many_exports_have_written_are_few_files_with_the_same_in_them(archived: Archived, lake: Path):
    moments = []
    for _ in range(2 * FEW + 1):
        moments.append(worked(archived, 10))
        assert exported(archived, lake).refused == []

    assert len(manifest_of(lake).stretches) < FEW
    assert len(list(lake.glob("events/*/*.parquet"))) == len(manifest_of(lake).stretches)
    assert manifest_of(lake).replaced == ()
    assert_each_once(lake, moments[-1][0])
    with closing(connect(lake)) as connection:
        for position, tables in moments[::FEW]:
            assert rows_at(connection, str(position)) == tables


@pytest.mark.prove
def test_who_reads_meanwhile_goes_on_reading(archived: Archived, lake: Path):
    first, tables = worked(archived, 10)
    exported(archived, lake)
    session = connect(lake)
    for _ in range(2 * FEW):
        worked(archived, 10)
        exported(archived, lake)
    end = archived.store.writer.head.position
    # Readers of the folder see the same.
    assert_each_once(lake, end)

    assert rows_at(session, str(first)) == tables
    [(seen,)] = session.execute("SELECT count(*) FROM events").fetchall()
    assert seen == first
    assert len(manifest_of(lake).stretches) == 1 + 2 * FEW
    with closing(connect(lake)) as connection:
        assert connection.execute("SELECT count(*) FROM history_events").fetchone() == (end,)

    session.close()
    del session, connection
    gc.collect()
    exported(archived, lake)
    assert len(manifest_of(lake).stretches) == 1
    assert manifest_of(lake).replaced == ()
    assert_each_once(lake, end)


def test_who_reads_a_lake_that_was_copied_without_its_dotfiles_is_heeded(archived: Archived, lake: Path):
    worked(archived, 10)
    exported(archived, lake)
    (lake / READERS).unlink()
    worked(archived, 10)
    exported(archived, lake)
    with closing(connect(lake)):
        for _ in range(FEW):
            worked(archived, 10)
            exported(archived, lake)

        assert len(manifest_of(lake).stretches) == 2 + FEW


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "stretch"),
    [
        pytest.param(cut_short, 1, marks=pytest.mark.prove),
        pytest.param(one_bit, 0, marks=pytest.mark.prove),
        (one_bit, 1),
    ],
)
def test_a_damaged_file_keeps_its_neighbours_from_becoming_one_and_no_export_from_what_is_new(
    archived: Archived, lake: Path, damage: Callable[[Path], None], stretch: int
):
    for _ in range(2):
        worked(archived, 10)
        exported(archived, lake)
    [damaged] = manifest_of(lake).stretches[stretch].files["jobs_versions"]
    damage(lake / damaged.path)
    for number in range(3, 2 + FEW):
        end, _ = worked(archived, 10)
        report = exported(archived, lake)

        assert report.position == end
        assert bool(report.unmerged) == (number >= FEW)
        assert all(damaged.path in one for one in report.unmerged)
        with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as connection:
            assert connection.execute("SELECT max(last_position) FROM timelines").fetchone() == (end,)
    assert (damaged,) == manifest_of(lake).stretches[stretch].files["jobs_versions"]


@pytest.mark.parametrize(("damage", "stretch"), [(cut_short, 0), (Path.unlink, 1)])
def test_where_the_views_cannot_be_made_the_export_says_of_which_file(
    archived: Archived, lake: Path, damage: Callable[[Path], None], stretch: int
):
    for _ in range(2):
        worked(archived, 10)
        exported(archived, lake)
    [damaged] = manifest_of(lake).stretches[stretch].files["jobs_versions"]
    damage(lake / damaged.path)
    end, _ = worked(archived, 10)

    with pytest.raises(AnalyticsError, match=damaged.path):
        exported(archived, lake)

    assert manifest_of(lake).end_of(1) == end


def test_an_archive_that_goes_on_from_a_damaged_log_is_left_out(archived: Archived, lake: Path):
    for _ in range(2):
        worked(archived, 20)
        exported(archived, lake)
    [damaged] = manifest_of(lake).stretches[1].files["events"]
    cut_short(lake / damaged.path)
    worked(archived, 20)

    [refused] = exported(archived, lake).refused

    assert damaged.path in refused.message


def test_where_the_disk_has_no_room_for_one_file_the_many_stay(
    archived: Archived, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for _ in range(FEW - 1):
        worked(archived, 10)
        exported(archived, lake)
    end, _ = worked(archived, 10)
    with monkeypatch.context() as patch:
        # The merged events are written by then, and are removed again.
        patch.setattr(merging, "write_groups", after(1, write_groups, refuse))
        report = exported(archived, lake)

    assert len(report.unmerged) == 1
    assert os.strerror(errno.ENOSPC) in report.unmerged[0]
    assert_each_once(lake, end)
    assert exported(archived, lake).unmerged == []
    assert len(manifest_of(lake).stretches) == 1
    assert_each_once(lake, end)


def after(calls: int, first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """Does one thing that many times, and then another."""
    things = chain(repeat(first, calls), repeat(then))

    def do(*arguments: Any) -> Any:
        thing = next(things)
        return thing(*arguments)

    return do


@pytest.mark.prove
def test_a_history_may_fork_within_what_has_become_one(archived: Archived, lake: Path):
    worked(archived, 10)
    archived.backup()
    fork, tables = worked(archived, 10)
    for _ in range(2 * FEW):
        exported(archived, lake)
        worked(archived, 10)
    exported(archived, lake)
    assert any(one.first < fork < one.last for one in manifest_of(lake).stretches)
    restored(archived, Moment(position=fork))
    end, now_tables = worked(archived, 10)
    archived.clock.now += 1_000
    archived.backup()

    assert exported(archived, lake).refused == []

    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(fork)) == tables
        assert rows_at(connection, str(end)) == now_tables
        positions = connection.execute("SELECT position FROM history_events ORDER BY 1").fetchall()
    assert positions == [(position,) for position in range(1, end + 1)]


class CutOff(BaseException):
    """Raised where the process would end."""


def before_the_manifest(patch: pytest.MonkeyPatch) -> None:
    def cut(lake: Path, manifest: Manifest) -> None:
        if manifest.replaced:
            raise CutOff
        write_manifest(lake, manifest)

    patch.setattr(exporting, "write_manifest", cut)


def before_the_views(patch: pytest.MonkeyPatch) -> None:
    def cut(lake: Path, manifest: Manifest, *_: Any) -> None:
        if manifest.replaced:
            raise CutOff
        write_views(lake, manifest, *_)

    patch.setattr(exporting, "write_views", cut)


def before_anything_is_removed(patch: pytest.MonkeyPatch) -> None:
    def cut(*_: Any) -> None:
        raise CutOff

    patch.setattr(exporting, "remove_replaced", cut)


def amid_what_is_removed(patch: pytest.MonkeyPatch) -> None:
    def cut(*_: Any) -> None:
        raise CutOff

    patch.setattr(merging, "write_manifest", cut)


@pytest.mark.parametrize(
    "moment",
    [
        before_the_manifest,
        pytest.param(before_the_views, marks=pytest.mark.prove),
        pytest.param(before_anything_is_removed, marks=pytest.mark.prove),
        amid_what_is_removed,
    ],
)
def test_an_export_that_is_cut_off_leaves_every_event_once(
    archived: Archived, lake: Path, moment: Callable[[pytest.MonkeyPatch], None]
):
    for _ in range(FEW - 1):
        worked(archived, 10)
        exported(archived, lake)
    end, tables = worked(archived, 10)
    with pytest.MonkeyPatch.context() as patch:
        moment(patch)
        with pytest.raises(CutOff):
            exported(archived, lake)

    with closing(connect(lake)) as connection:
        assert rows_at(connection, str(end)) == tables
        for view in ("events", "history_events"):
            query = f"SELECT count(*), count(DISTINCT position) FROM {view}"
            assert connection.execute(query).fetchone() == (end, end)
    for view in ("events", "history_events"):
        query = f"SELECT count(*), count(DISTINCT position) FROM {view}"
        with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as connection:
            [(events, positions)] = connection.execute(query).fetchall()
        # The views show at least the events that were there before.
        assert 0 < events == positions <= end
    exported(archived, lake)
    assert manifest_of(lake).replaced == ()
    assert_each_once(lake, end)
    assert len(list(lake.glob("events/*/*.parquet"))) == len(manifest_of(lake).stretches) == 1
