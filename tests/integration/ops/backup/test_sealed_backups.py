"""Backups that are compressed, encrypted, or both: made without a key, read with one, refused without."""

import asyncio
import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyrage
import pytest

from ops.archive.archiver import Archiver
from ops.archive.merge import SMALL_SEGMENTS, merge
from ops.archive.reading import read_segment, verify_sealed
from ops.archive.replay import reach
from ops.archive.segment import METADATA_SUFFIX, list_segments
from ops.backup.create import create_backup
from ops.backup.drill import drill, prove
from ops.backup.metadata import WHOLE_CHECKS, list_backups, metadata_path, read_metadata, write_metadata
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.schedule import DAY_MS, BackupSchedule
from ops.backup.verify import verify_backup, verify_by_routine
from ops.settings_sources import load_settings
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.sealing import Compression, Sealing, read_identities
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import (
    VERSION,
    Stored,
    answers_of,
    archived_rows,
    tables_of,
    verified_copy,
)
from tests.support.stores.keys import KEY, PUBLIC
from tests.support.stores.looking_inside import log_of

OTHER = pyrage.x25519.Identity.generate()
FORMS = [Sealing("zstd"), Sealing("none", (PUBLIC,)), Sealing("zstd", (str(OTHER.to_public()), PUBLIC))]


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Archived]:
    """A store whose backups and archive two keys can open."""
    with Archived(tmp_path, sealing=FORMS[-1]) as stored:
        yield stored


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(BackupError) as caught:
        verify_backup(path, **options)  # type: ignore[arg-type]
    return caught.value.reason


@pytest.mark.parametrize("sealing", FORMS, ids=["zstd", "age", "zstd.age"])
def test_a_sealed_backup_is_what_the_store_was(tmp_path: Path, sealing: Sealing):
    stored = Archived(tmp_path, sealing=sealing)
    stored.work(60)
    backup = stored.backup()
    metadata = backup.metadata
    assert backup.name.endswith(".db" + sealing.suffix)
    assert (metadata.compression, metadata.recipients) == (
        None if sealing.compression == "none" else "zstd",
        sealing.recipients,
    )
    assert metadata.size == backup.path.stat().st_size
    keys = [KEY] if sealing.recipients else []
    with verified_copy(backup.path, identities=keys) as plain:
        assert tables_of(plain) == tables_of(stored.path)
        assert plain.stat().st_size == metadata.plain_size
    assert not plain.exists()
    assert drill(backup.path, identities=keys).metadata.status == "proven"
    assert [one.name for one in list_backups(stored.folder)] == [backup.name]
    # Nothing readable is left beside it.
    assert {one.name for one in stored.folder.iterdir()} == {backup.name, metadata_path(backup.path).name}
    stored.close()


def test_what_is_encrypted_is_never_readable_on_the_disk_of_the_backups(
    sealed: Archived, monkeypatch: pytest.MonkeyPatch
):
    sealed.work(30)
    seen: list[bytes] = []

    def look(what: str, done: int, total: int) -> None:
        seen.extend(one.read_bytes()[:16] for one in sealed.folder.glob("*") if one.is_file())
        seen.extend(one.read_bytes()[:16] for one in sealed.folder.glob(".*") if one.is_file())

    create_backup(
        sealed.path, sealed.folder, version=VERSION, sealing=sealed.places.sealing, prove=prove, progress=look
    )
    assert seen
    assert b"SQLite format 3\0" not in seen


def test_without_a_key_an_encrypted_backup_is_refused_for_that_reason_and_still_checked_from_outside(
    sealed: Archived,
):
    sealed.work(40)
    backup = sealed.backup(proven=True)
    assert backup.metadata.status == "proven"
    assert {"chain", "integrity_check", "tables"} <= backup.metadata.checks.keys()
    assert refusal(backup.path) == "encrypted"
    stranger = pyrage.x25519.Identity.generate()
    assert refusal(backup.path, identities=[stranger]) == "encrypted"
    with pytest.raises(BackupError, match="a key alone"):
        restore(sealed.places, Moment(), version=VERSION)

    checked = verify_by_routine(backup.path, None, lambda *_: None)
    assert checked.metadata.checks["checksum"] != backup.metadata.checks["checksum"]
    assert checked.metadata.checks["chain"] == backup.metadata.checks["chain"]

    content = backup.path.read_bytes()
    backup.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    # Damage is told, whether there is a key or not.
    assert refusal(backup.path) == "checksum_differs"
    assert refusal(backup.path, identities=[KEY]) == "checksum_differs"
    backup.path.write_bytes(content[:-1])
    assert refusal(backup.path) == "size_differs"


@pytest.mark.parametrize("seed", range(8))
def test_a_bit_that_flips_in_a_sealed_backup_is_found_even_if_its_metadata_is_made_to_fit(
    sealed: Archived, seed: int
):
    sealed.work(20)
    backup = sealed.backup()
    chance = random.Random(seed)
    content = bytearray(backup.path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    backup.path.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    write_metadata(backup.path, msgspec.structs.replace(backup.metadata, checksum=checksum))
    assert refusal(backup.path, identities=[KEY]) in ("damaged", "encrypted"), f"seed {seed}"
    assert not list(sealed.folder.glob(".drill-*"))


def test_metadata_that_lies_about_what_is_inside_is_found(sealed: Archived):
    sealed.work(20)
    backup = sealed.backup()
    for lie, reason in (
        ({"plain_size": 100}, "damaged"),
        ({"plain_checksum": "0" * 64}, "content_differs"),
        ({"plain_size": None}, "metadata_damaged"),
        ({"recipients": ()}, "damaged"),
        ({"compression": None}, "content_differs"),
    ):
        write_metadata(backup.path, msgspec.structs.replace(backup.metadata, **lie))
        assert refusal(backup.path, identities=[KEY]) == reason, lie


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_store_comes_back_from_encrypted_backups_and_archive_alone(
    tmp_path: Path, compression: Compression
):
    stored = Archived(tmp_path, sealing=Sealing(compression, (PUBLIC,)))
    stored.work(40)
    stored.archive()
    backup = stored.backup()
    stored.work(40)
    stored.archive()
    head = stored.store.writer.head.position
    rows, at = log_of(stored.path, head), stored.clock.now
    remembered = answers_of(stored.path)
    stored.close()
    stored.path.unlink()

    assert plan_restore(stored.places, Moment(latest=True)).position == head
    with pytest.raises(BackupError) as caught:
        restore(stored.places, Moment(latest=True), version=VERSION)
    assert caught.value.reason == "encrypted"
    assert not stored.path.exists()

    middle = rows[-20]
    done = restore(
        stored.places, Moment(time=middle.recorded_at), version=VERSION, identities=[KEY], now_ms=at
    )
    assert rows[done.position - 1].recorded_at <= middle.recorded_at < rows[done.position].recorded_at
    stored.path.unlink()
    done = restore(stored.places, Moment(latest=True), version=VERSION, identities=[KEY], now_ms=at)
    assert (done.position, done.backup) == (head, str(backup.place))
    assert log_of(stored.path, head) == rows
    assert verify(stored.path)["equal"]
    assert answers_of(stored.path) == remembered


def test_a_restore_that_begins_with_the_present_store_works_without_a_key(sealed: Archived):
    sealed.work(40)
    done = restore(sealed.places, Moment(position=25), version=VERSION)
    assert done.position == 25
    assert done.safety_backup is not None
    assert done.safety_backup.endswith(".db.zst.age")
    assert verify(sealed.path)["equal"]
    assert not [one for one in sealed.path.parent.iterdir() if one.name.startswith(".")]
    # Going back to the safety backup takes the key.
    undone = restore(sealed.places, Moment(backup=done.safety_backup), version=VERSION, identities=[OTHER])
    assert undone.position > 25


def test_an_encrypted_archive_is_gone_on_with_and_merged_by_who_has_no_key(sealed: Archived):
    for _ in range(SMALL_SEGMENTS + 3):
        sealed.work(2)
        # As after a start: the archiver finds the archive's end, and merges nothing yet.
        sealed.archiver = sealed.new_archiver()
        sealed.archive()
    before = sealed.segments
    assert all(one.is_encrypted for one in before)
    for one in before:
        assert verify_sealed(one)[0].recipients == sealed.places.sealing.recipients
    with pytest.raises(BackupError) as caught:
        read_segment(before[0])
    assert caught.value.reason == "encrypted"
    found = reach(sealed.places.archive)
    assert found is not None
    rows = list(archived_rows(sealed.places.archive, found[1], identities=[KEY]))
    answers = {one[0]: one for segment in before for one in read_segment(segment, [KEY]).answers}

    recipients = sealed.places.sealing.recipients
    assert merge(sealed.places.archive, recipients=recipients) == 0
    fewer = merge(sealed.places.archive, recipients=recipients, read_log=sealed.archiver.read_log)

    after = sealed.segments
    assert fewer == len(before) - len(after) > SMALL_SEGMENTS - 5
    assert list(archived_rows(sealed.places.archive, found[1], identities=[KEY])) == rows
    assert {one[0]: one for segment in after for one in read_segment(segment, [KEY]).answers} == answers
    assert rows == log_of(sealed.path)
    names = {one.name for one in (sealed.path.parent / "archive" / "timeline-0001").iterdir()}
    assert names == {name for one in after for name in (one.name, one.name + METADATA_SUFFIX)}


def test_an_encrypted_segment_that_was_changed_is_refused_with_and_without_a_key(sealed: Archived):
    sealed.work(20)
    sealed.archive()
    (segment,) = sealed.segments
    sound = segment.path.read_bytes()
    beside = segment.path.with_name(segment.name + METADATA_SUFFIX)
    described = beside.read_bytes()
    for path, content in (
        (segment.path, sound[:-1]),
        (segment.path, sound[:200] + bytes([sound[200] ^ 4]) + sound[201:]),
        (beside, described[:-9] + b"}\n"),
        (beside, described.replace(b'"last": ', b'"last": 1', 1)),
    ):
        kept = path.read_bytes()
        path.write_bytes(content)
        for identities in ((), (KEY,)):
            with pytest.raises(BackupError) as caught:
                read_segment(segment, identities)
            assert caught.value.reason == "segment_damaged"
        path.write_bytes(kept)
    # A segment without its metadata does not count.
    beside.unlink()
    assert list_segments(sealed.places.archive) == []


def test_a_plain_archive_goes_on_as_an_encrypted_one(tmp_path: Path):
    stored = Archived(tmp_path)
    stored.work(20)
    stored.archive()
    stored.archiver = Archiver(
        stored.places.archive,
        stored.store.origin,
        stored.readers.connection,
        store=stored.path,
        recipients=(PUBLIC,),
    )
    stored.work(20)
    stored.archive()
    assert [one.is_encrypted for one in stored.segments] == [False, True]
    found = reach(stored.places.archive)
    assert found is not None
    assert list(archived_rows(stored.places.archive, found[1], identities=[KEY])) == log_of(
        stored.path, 10**9
    )
    stored.close()


def test_a_file_of_keys_is_read_as_age_keygen_writes_it(tmp_path: Path):
    file = tmp_path / "key.txt"
    file.write_text(f"# created: today\n# public key: {PUBLIC}\n{KEY}\n\n{OTHER}\n")
    assert [str(one) for one in read_identities(file)] == [str(KEY), str(OTHER)]
    file.write_text(f"{PUBLIC}\n")
    with pytest.raises(ValueError, match="no AGE-SECRET-KEY") as caught:
        read_identities(file)
    assert PUBLIC not in str(caught.value)
    file.write_text("# nothing\n")
    with pytest.raises(ValueError, match="has no AGE-SECRET-KEY"):
        read_identities(file)


def test_the_metadata_says_which_checks_were_done(tmp_path: Path):
    stored = Stored(tmp_path)
    stored.work(10)
    first = stored.backup()
    assert set(WHOLE_CHECKS) == set(first.metadata.checks)
    proven = drill(first.path)
    assert {"chain", "tables", "integrity_check"} <= set(read_metadata(proven.path).checks)
    stored.close()


def test_a_schedule_that_has_no_key_proves_what_it_makes_before_it_is_sealed(sealed: Archived):
    sealed.work(5)
    (sealed.path.parent / "hyperpage.toml").write_text(
        f'encrypt_to = ["{PUBLIC}"]\nbackup_compression = "zstd"\n'
    )
    now = time.time_ns() // 1_000_000
    told: list[tuple[str, dict[str, object]]] = []

    async def notify(change: str, what: dict[str, object]) -> None:
        told.append((change, what))

    async def scenario() -> None:
        nonlocal now
        settings = load_settings({"data": sealed.path.parent}, {})
        schedule = BackupSchedule(settings, sealed.store.origin.store_id, notify=notify, clock=lambda: now)
        now += 61_000
        await schedule.do_what_is_due()
        assert [change for change, _ in told] == ["started", "completed", "verified"]
        (backup,) = list_backups(sealed.folder)
        assert backup.metadata.status == "proven"
        assert backup.metadata.recipients == (PUBLIC,)
        told.clear()
        now += DAY_MS + 1
        await schedule.do_what_is_due()
        assert [change for change, _ in told] == ["failed", "started", "completed", "verified", "verified"]
        assert schedule.state.failure is None

    asyncio.run(scenario())
