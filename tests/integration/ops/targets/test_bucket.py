"""Backups and the archive in a bucket of a real S3-compatible server."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from obstore.exceptions import BaseError

from hyperpage_client.waiting import UNTRIED
from ops.archive.merge import SMALL_SEGMENTS, merge
from ops.archive.replay import reach
from ops.backup.drill import drill, prove
from ops.backup.metadata import Backup, damaged_backups, find_backup, list_backups, metadata_path
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.retention import remove
from ops.backup.verify import verify_backup, verify_by_routine
from ops.store.projections_check import verify
from ops.targets.bucket import BucketError, BucketPath, bucket_errors, bucket_path
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from tests.support.machines.bucket_server import BucketServer, Gate
from tests.support.patience import patiently, until
from tests.support.services.command_line import separately
from tests.support.stores.backing_up import VERSION, answers_of, archived_rows, tables_of, verified_copy
from tests.support.stores.in_bucket import InBucket
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.looking_inside import log_of


def test_a_backup_in_a_bucket_is_listed_verified_drilled_and_deleted(in_bucket: InBucket):
    in_bucket.work(50)
    first = in_bucket.backup("the first")
    assert str(first.place).startswith(in_bucket.address)
    in_bucket.clock.now += 1
    in_bucket.work(20)
    second = in_bucket.backup("the second")
    folder = in_bucket.places.backups
    assert [one.metadata.description for one in list_backups(folder)] == ["the second", "the first"]
    assert find_backup(folder, first.name) == find_backup(folder, str(first.place)) == first.place
    with verified_copy(second.place) as plain:
        assert tables_of(plain) == tables_of(in_bucket.path)
    assert not plain.exists()
    assert drill(first.place).metadata.status == "proven"
    # The list shows the present state, and not what was read before.
    assert [one.metadata.status for one in list_backups(folder)] == ["good", "proven"]
    remove(second)
    assert [one.metadata.description for one in list_backups(folder)] == ["the first"]
    assert verify_by_routine(first.place, None, lambda *_: None).name == first.name
    # Nothing is left in the folder in which backups are staged.
    assert list((in_bucket.path.parent / "backups").iterdir()) == []


def test_what_is_wrong_with_a_backup_in_a_bucket_has_the_same_reasons(in_bucket: InBucket):
    in_bucket.work(30)
    backup = in_bucket.backup()
    place = backup.place
    assert isinstance(place, BucketPath)
    content = place.read_bytes()

    def refusal() -> str:
        with pytest.raises(BackupError) as caught:
            verify_backup(place)
        return caught.value.reason

    place.put(content[:-1])
    assert refusal() == "size_differs"
    place.put(content[:-1] + bytes([content[-1] ^ 1]))
    assert refusal() == "checksum_differs"
    place.put(content)
    assert verify_backup(place).name == backup.name
    described = metadata_path(place).read_bytes()
    metadata_path(place).put(described.replace(b'"position": ', b'"position": 1', 1))
    assert refusal() == "metadata_damaged"
    metadata_path(place).unlink()
    assert refusal() == "no_metadata"
    assert [(path, error.reason) for path, error in damaged_backups(in_bucket.places.backups)] == [
        (place, "no_metadata")
    ]
    place.unlink()
    assert refusal() == "not_found"


@pytest.mark.parametrize("sealing", [Sealing(), SEALED], ids=["plain", "sealed"])
def test_a_store_comes_back_from_a_bucket_alone(
    tmp_path: Path, bucket_server: BucketServer, sealing: Sealing
):
    stored = InBucket(tmp_path, bucket_server, sealing)
    stored.work(40)
    stored.archive()
    stored.backup()
    stored.work(40)
    stored.archive()
    head = stored.store.writer.head.position
    rows, remembered = log_of(stored.path, head), answers_of(stored.path)
    stored.close()
    for one in tmp_path.glob("hyperpage.db*"):
        one.unlink()

    keys = [KEY] if sealing.recipients else []
    for moment in (Moment(time=rows[-9].recorded_at), Moment(position=11), Moment(latest=True)):
        plan = plan_restore(stored.places, moment, identities=keys)
        done = restore(stored.places, moment, version=VERSION, identities=keys, safety=False)
        assert done.position == plan.position
        assert log_of(stored.path, done.position) == rows[: done.position]
        assert verify(stored.path)["equal"]
        stored.path.unlink()
        for one in tmp_path.glob("hyperpage.db.set-aside*"):
            one.unlink()
    restore(stored.places, Moment(latest=True), version=VERSION, identities=keys)
    assert answers_of(stored.path) == remembered


def test_many_small_segments_in_a_bucket_become_few(in_bucket: InBucket):
    for _ in range(SMALL_SEGMENTS + 2):
        in_bucket.work(2)
        in_bucket.archiver = in_bucket.new_archiver()
        in_bucket.archive()
    before = in_bucket.segments
    assert len(before) >= SMALL_SEGMENTS
    fewer = merge(in_bucket.places.archive)
    assert fewer == len(before) - len(in_bucket.segments) > 0
    found = reach(in_bucket.places.archive)
    assert found is not None
    assert list(archived_rows(in_bucket.places.archive, found[1])) == log_of(in_bucket.path)


def test_a_safety_backup_goes_into_the_bucket_and_is_the_way_back(in_bucket: InBucket):
    in_bucket.work(40)
    done = restore(in_bucket.places, Moment(position=20), version=VERSION)
    assert done.safety_backup is not None
    assert done.safety_backup.startswith(in_bucket.address)
    undone = restore(in_bucket.places, Moment(backup=done.safety_backup), version=VERSION)
    assert undone.position > 20
    assert verify(in_bucket.path)["equal"]


def test_a_bucket_that_is_away_fails_soon_is_told_and_caught_up_with(
    tmp_path: Path, bucket_server: BucketServer
):
    gate = Gate(bucket_server.endpoint)
    stored = InBucket(tmp_path, bucket_server, endpoint=gate.endpoint)
    stored.work(20)
    stored.archive()
    backup = stored.backup()
    gate.shut()
    began = time.monotonic()
    with pytest.raises(BucketError, match=r"s3://hyperpage.* does not answer"):
        list_backups(stored.places.backups)
    with pytest.raises(BucketError):
        stored.backup()
    with pytest.raises(BucketError):
        verify_backup(backup.place)
    assert time.monotonic() - began < patiently(15)
    assert list((tmp_path / "backups").iterdir()) == []

    async def away() -> None:
        stored.archiver = stored.new_archiver()
        running = asyncio.create_task(stored.archiver.run())
        # The store takes commands, whether its archive can be written or not.
        stored.work(20)
        for commit in stored.store.commits:
            stored.archiver.notify(commit)
        await until(lambda: stored.archiver.state.problem not in (None, UNTRIED))
        assert stored.archiver.state.lag_events > 0
        gate.open()
        await until(lambda: stored.archiver.state.problem is None and not stored.archiver.state.lag_events)
        running.cancel()

    asyncio.run(away())
    found = reach(stored.places.archive)
    assert found is not None
    assert list(archived_rows(stored.places.archive, found[1])) == log_of(stored.path)
    gate.shut()
    stored.close()


def test_who_is_not_let_in_hears_what_the_server_says(bucket_server: BucketServer, tmp_path: Path):
    done = separately(
        *("backup", "list", "--data", tmp_path),
        AWS_ACCESS_KEY_ID="somebody",
        AWS_SECRET_ACCESS_KEY="else",
        HYPERPAGE_BACKUPS=bucket_server.new_bucket(),
        HYPERPAGE_S3_ENDPOINT=bucket_server.endpoint,
    )
    assert done.code == 5, done.err
    assert "the bucket refuses" in done.err


def test_an_address_that_is_none_is_refused():
    for wrong in ("s3://", "s3:///x", "s3://bucket/../x"):
        with pytest.raises(ValueError, match="is no s3://bucket/prefix"):
            bucket_path(wrong, endpoint=None, staging=Path())


def test_a_large_backup_is_sent_in_parts_and_comes_back_as_it_was(in_bucket: InBucket):
    for number in range(120):
        value = "".join(f"{number * each:08x}" for each in range(7000))
        in_bucket.store.send("app_state.set", {"key": f"large-{number % 100}", "value": value})
    backup = in_bucket.backup()
    assert backup.metadata.size > 12 * 1024 * 1024
    proven: list[str] = []
    with verified_copy(backup.place) as plain:
        prove(Backup(plain, backup.metadata), lambda what, *_: proven.append(what))
        assert tables_of(plain) == tables_of(in_bucket.path)
    assert "tables" in proven


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error performing PUT http://169.254.169.254/latest/api/token in 4 ms", "no credentials"),
        (
            "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>",
            "refuses: Access Denied.",
        ),
        ("Generic S3 error: HTTP error: error sending request", "does not answer: error sending request"),
        ("<Error><Code>NoSuchBucket</Code><Message>…</Message></Error>", "no such bucket"),
    ],
)
def test_what_a_bucket_says_is_told_in_one_line(said: str, told: str, tmp_path: Path):
    place = bucket_path("s3://bucket/x", endpoint=None, staging=tmp_path)
    with pytest.raises(BucketError, match=re.escape(told)) as caught, bucket_errors(place):
        raise BaseError(f"{said}\n\nDebug source: …")
    assert "\n" not in str(caught.value)
