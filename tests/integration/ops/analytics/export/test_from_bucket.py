"""A lake of what a bucket has, of a real S3-compatible server: backups, and the archive beyond them."""

from contextlib import closing
from pathlib import Path

import pytest

from ops.analytics import connect
from ops.analytics.export.exporting import export
from ops.archive.merge import SMALL_SEGMENTS, merge
from ops.archive.segment import list_segments
from ops.targets.bucket import BucketError
from ops.targets.sealing import Sealing
from tests.support.machines.bucket_server import CREDENTIALS, BucketServer, Gate
from tests.support.services.command_line import separately
from tests.support.stores.in_bucket import InBucket
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.lakes import exported, rows_at, rows_of, rows_shown, worked

SEALINGS = [
    # Plain and compressed files are the same in a bucket as in a folder.
    pytest.param(Sealing(), id="plain", marks=pytest.mark.prove),
    pytest.param(Sealing(compression="zstd"), id="compressed", marks=pytest.mark.prove),
    pytest.param(SEALED, id="encrypted"),
]


@pytest.mark.parametrize("sealing", SEALINGS)
def test_backups_and_archive_in_a_bucket_make_the_lake_that_they_make_on_a_disk(
    tmp_path: Path, bucket_server: BucketServer, lake: Path, sealing: Sealing
):
    stored = InBucket(tmp_path / "data", bucket_server, sealing)
    worked(stored)
    backup = stored.backup()
    at_backup, of_backup = stored.store.writer.head.position, stored.store.in_writer(rows_of)
    between, tables_between = worked(stored)
    first = exported(stored, lake, identities=(KEY,))
    end, tables = worked(stored)
    second = exported(stored, lake, identities=(KEY,))
    stored.close()

    assert first.refused == second.refused == []
    assert (first.exported, first.archived) == ([backup.name], between - at_backup)
    assert (second.exported, second.archived, second.position) == ([], end - between, end)
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == of_backup
        assert rows_at(connection, str(between)) == tables_between
        assert rows_at(connection, str(end)) == tables
    # No fetched file is left.
    assert not [path for path in (tmp_path / "data" / "backups").rglob("*") if path.is_file()]


def test_segments_that_were_merged_in_the_bucket_meanwhile_are_taken_from_where_the_lake_is(
    in_bucket: InBucket, lake: Path
):
    worked(in_bucket)
    taken = exported(in_bucket, lake).position
    for _ in range(SMALL_SEGMENTS):
        worked(in_bucket, 3)
    end, tables = worked(in_bucket)
    before = len(list_segments(in_bucket.places.archive))
    merge(in_bucket.places.archive)
    assert len(list_segments(in_bucket.places.archive)) < before

    report = exported(in_bucket, lake)

    assert (report.refused, report.archived) == ([], end - taken)
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == tables
        assert connection.execute("SELECT count(*), max(position) FROM events").fetchone() == (end, end)


def test_a_bucket_that_is_away_leaves_the_lake_as_it_was(
    tmp_path: Path, bucket_server: BucketServer, lake: Path
):
    gate = Gate(bucket_server.endpoint)
    stored = InBucket(tmp_path / "data", bucket_server, endpoint=gate.endpoint)
    before, tables_before = worked(stored)
    exported(stored, lake)
    end, tables = worked(stored)
    gate.shut()
    with pytest.raises(BucketError, match="does not answer"):
        export([], lake, store_id=None, archive=stored.places.archive)
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == rows_at(connection, str(before)) == tables_before
    gate.open()

    assert exported(stored, lake).position == end
    with closing(connect(lake)) as connection:
        assert rows_shown(connection) == tables
    gate.shut()
    stored.close()


def test_the_command_takes_both_from_the_bucket_that_the_settings_name(
    in_bucket: InBucket, bucket_server: BucketServer, lake: Path
):
    worked(in_bucket)
    backup = in_bucket.backup()
    end, _ = worked(in_bucket)
    done = separately(
        *("analytics", "export", "--out", lake, "--json"),
        **CREDENTIALS,
        HYPERPAGE_DATA=str(in_bucket.path.parent),
        HYPERPAGE_BACKUPS=f"{in_bucket.address}/backups",
        HYPERPAGE_ARCHIVE=f"{in_bucket.address}/archive",
        HYPERPAGE_S3_ENDPOINT=bucket_server.endpoint,
    )

    assert done.code == 0, done.err
    report = done.json
    assert (report["exported"], report["position"]) == ([backup.name], end)
    assert report["archived"] == end - backup.metadata.position
