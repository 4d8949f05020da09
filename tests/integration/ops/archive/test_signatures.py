"""Signatures of the archive: forged, swapped and stripped segments are found."""

import asyncio
import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.archive import merge as merging
from ops.archive.merge import merge
from ops.archive.reading import read_segment, read_signature
from ops.archive.segment import END_FRAME, METADATA_SUFFIX, Segment, list_segments
from ops.archive.verify import verify_archive
from ops.archive.writing import row_lines, write_segment
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.preparing import require_readable
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from ops.targets.signing import Signing, make_key
from ops.targets.target import write_file
from tests.support.stores.backing_up import VERSION
from tests.support.stores.in_bucket import InBucket
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.signed import (
    SignedStore,
    contents,
    forge_segment,
    graft_signature,
    key_in,
    remove_key,
)

FORMS = {"plain": Sealing(), "encrypted": SEALED}


@pytest.fixture(params=list(FORMS))
def store(request: pytest.FixtureRequest, tmp_path: Path):
    """A store with four segments, and events behind a backup that only they have."""
    with SignedStore(tmp_path / "data", FORMS[request.param]) as store:
        fill(store)
        yield store


@pytest.fixture
def plain(tmp_path: Path):
    with SignedStore(tmp_path / "data") as store:
        fill(store)
        yield store


def fill(store: SignedStore, segments: int = 4) -> None:
    for number in range(segments):
        store.work(8)
        store.archive()
        if number == 0:
            store.backup()


def damage(store: SignedStore, signing: Signing, *, with_key: bool = True) -> dict[str, str]:
    return verify_archive(store.places.archive, [KEY] if with_key else [], signing=signing).damage


def replayed(store: SignedStore, *, strict: bool = False) -> dict[str, int]:
    """Restores the end of the archive into another directory; the number of files by signer."""
    places = store.strict_places if strict else store.places
    there = store.path.parent.parent / "there"
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    moved = msgspec.structs.replace(places, store=there / "hyperpage.db")
    last = Moment(position=store.segments[-1].last)
    return restore(moved, last, version=VERSION, identities=[KEY]).signatures


def test_segments_are_signed(store: SignedStore):
    words = f"signed by {store.key.public}"
    report = verify_archive(store.places.archive, [KEY], signing=store.strict)
    assert (report.is_sound, report.signatures) == (True, {words: 4})
    assert verify_archive(store.places.archive, signing=store.strict).signatures == {words: 4}
    assert report.ends == {1: store.segments[-1].last}
    assert replayed(store, strict=True) == {words: 4}


def test_a_forged_segment_is_unsigned(store: SignedStore):
    victim = store.segments[2]
    forge_segment(victim)
    # The forged segment is consistent: the events are the same, and one answer is another.
    assert damage(store, store.signing) == {}
    assert replayed(store) == {f"signed by {store.key.public}": 3, "unsigned": 1}
    for with_key in (True, False):
        (found,) = damage(store, store.strict, with_key=with_key).items()
        assert found[0] == victim.name
        assert "unsigned" in found[1]
    with pytest.raises(BackupError) as caught:
        replayed(store, strict=True)
    assert (caught.value.reason, victim.name in caught.value.message) == ("unsigned", True)
    assert f"--to-position {victim.first - 1}" in caught.value.hint


def test_a_forged_segment_with_a_signature_of_ours_is_forged(store: SignedStore):
    victim = store.segments[2]
    beside = victim.place.with_name(victim.name + METADATA_SUFFIX)
    before = (beside if victim.is_encrypted else victim.place).read_bytes()
    forge_segment(victim)
    if victim.is_encrypted:
        line = before[before.rindex(b',\n  "signature": ') :]
        write_file(beside, beside.read_bytes().removesuffix(b"\n}\n") + line)
    else:
        graft_signature(before, victim)
    require_forged(store, victim)


def require_forged(store: SignedStore, victim: Segment) -> None:
    for signing in (store.signing, store.strict, Signing()):
        for identities in ([KEY], []):
            report = verify_archive(store.places.archive, identities, signing=signing)
            assert list(report.damage) == [victim.name]
            assert "forged" in report.damage[victim.name]
            assert report.signatures["forged"] == 1
    with pytest.raises(BackupError) as caught:
        replayed(store)
    assert (caught.value.reason, victim.name in caught.value.message) == ("forged", True)


def test_a_segment_that_somebody_else_has_signed_is_not_by_a_key_you_trust(
    store: SignedStore, tmp_path: Path
):
    theirs = key_in(tmp_path / "keys")
    victim = store.segments[2]
    forge_segment(victim, theirs)
    words = f"signed by {theirs.public} (not a key you trust)"
    assert replayed(store) == {f"signed by {store.key.public}": 3, words: 1}
    assert words in damage(store, store.strict)[victim.name]
    assert verify_archive(store.places.archive, [KEY], signing=store.strict).signatures[words] == 1
    with pytest.raises(BackupError) as caught:
        replayed(store, strict=True)
    assert caught.value.reason == "untrusted"


def test_a_segment_under_another_name_is_found_out(store: SignedStore):
    """The signature covers the folder, so that also a segment whose content fits the name is found out."""
    one, other = store.segments[1:3]
    suffixes = ("", METADATA_SUFFIX) if one.is_encrypted else ("",)
    for suffix in suffixes:
        write_file(
            other.place.with_name(other.name + suffix),
            one.place.with_name(one.name + suffix).read_bytes(),
        )
    assert "forged" in damage(store, store.signing)[other.name]

    moved = store.segments[0].path.parent.parent / "timeline-0007"
    moved.mkdir()
    for suffix in suffixes:
        name = one.name + suffix
        (moved / name).write_bytes(one.path.with_name(name).read_bytes())
    assert one.name in damage(store, store.signing)


def test_an_old_segment_does_not_pass_for_a_newer_one(plain: SignedStore):
    """Except one with answers alone: its name is used again if it is lost, and both are the store's own."""
    names = [one.name for one in plain.segments]
    assert len(set(names)) == len(names)
    older, newer = plain.segments[0], plain.segments[-1]
    write_file(newer.place, older.path.read_bytes())
    require_forged(plain, newer)


def test_a_stripped_signature_is_noticed(plain: SignedStore):
    victim = plain.segments[1]
    content = read_segment(victim)
    write_segment(victim.place, content.header, row_lines(content.rows), content.answers)
    assert verify_archive(plain.places.archive, signing=plain.signing).signatures["unsigned"] == 1
    assert list(damage(plain, plain.strict)) == [victim.name]


def test_nothing_is_decompressed_before_it_is_known_whose_it_is(plain: SignedStore):
    victim = plain.segments[1]
    noise = b"this is no zstd at all"
    write_file(victim.place, noise + END_FRAME + hashlib.sha256(noise).digest())
    with pytest.raises(BackupError) as caught:
        read_segment(victim, (), plain.strict)
    assert caught.value.reason == "unsigned"
    with pytest.raises(BackupError) as caught:
        read_segment(victim, (), plain.signing)
    assert caught.value.reason == "segment_damaged"


def test_a_restore_refuses_a_segment_before_anything_is_touched(store: SignedStore):
    forge_segment(store.segments[-1])
    last = store.segments[-1].last
    store.close()
    before = contents(store.path.parent)
    for attempt in (
        lambda: restore(store.strict_places, Moment(latest=True), version=VERSION, identities=[KEY]),
        lambda: plan_restore(store.strict_places, Moment(latest=True), identities=[KEY], check=True),
        lambda: require_readable(store.strict_places, Moment(latest=True), [KEY]),
    ):
        with pytest.raises(BackupError) as caught:
            attempt()
        assert caught.value.reason == "unsigned"
    assert contents(store.path.parent) == before
    done = restore(
        store.strict_places,
        Moment(position=store.segments[-1].first - 1),
        version=VERSION,
        identities=[KEY],
    )
    assert done.position < last
    store.reopen()


def test_an_old_archive_is_as_good_as_before_unless_signatures_are_required(plain: SignedStore):
    for one in plain.segments:
        content = read_segment(one)
        write_segment(one.place, content.header, row_lines(content.rows), content.answers)
    report = verify_archive(plain.places.archive, signing=plain.signing)
    assert (report.is_sound, report.signatures) == (True, {"unsigned": 4})
    assert replayed(plain)["unsigned"] == 3
    # New segments are signed.
    plain.archiver = plain.new_archiver()
    plain.work(5)
    plain.archive()
    assert verify_archive(plain.places.archive, signing=plain.signing).signatures == {
        "unsigned": 4,
        f"signed by {plain.key.public}": 1,
    }


def test_an_archive_that_may_not_be_unsigned_is_not_gone_on_with(plain: SignedStore):
    forge_segment(plain.segments[-1])
    plain.places = plain.strict_places
    plain.archiver = plain.new_archiver()
    plain.work(3)
    with pytest.raises(BackupError) as caught:
        asyncio.run(plain.archiver._catch_up())
    assert caught.value.reason == "unsigned"


def test_keys_take_turns_while_the_archive_is_written(plain: SignedStore):
    old = plain.key.public
    make_key(plain.key_file, replace=True)
    plain.work(5)
    plain.archive()
    new = plain.key.public
    both = msgspec.structs.replace(plain.strict, trusted_keys=(old,))
    report = verify_archive(plain.places.archive, signing=both)
    assert (report.is_sound, report.signatures) == (True, {f"signed by {old}": 4, f"signed by {new}": 1})
    assert len(damage(plain, plain.strict)) == 4
    remove_key(plain)
    listed = msgspec.structs.replace(both, trusted_keys=(old, new))
    assert verify_archive(plain.places.archive, signing=listed).is_sound


def merged(store: SignedStore, monkeypatch: pytest.MonkeyPatch, *, from_log: bool = True) -> list[Segment]:
    monkeypatch.setattr(merging, "SMALL_SEGMENTS", 2)
    merge(
        store.places.archive,
        recipients=store.places.sealing.recipients,
        signing=store.signing,
        read_log=store.archiver.read_log if from_log else None,
    )
    return store.segments


def test_merged_segments_are_signed(store: SignedStore, monkeypatch: pytest.MonkeyPatch):
    answers = {one[0] for segment in store.segments for one in read_segment(segment, [KEY]).answers}
    (only,) = merged(store, monkeypatch)
    content = read_segment(only, [KEY], store.strict)
    assert content.signature.key == store.key.public
    assert {one[0] for one in content.answers} == answers
    assert damage(store, store.strict) == {}


def test_what_is_merged_from_the_log_is_ours_whoever_wrote_the_small_ones(
    plain: SignedStore, monkeypatch: pytest.MonkeyPatch
):
    for one in plain.segments[:-1]:
        forge_segment(one)
    (only,) = merged(plain, monkeypatch)
    content = read_segment(only, (), plain.strict)
    assert not [answer for answer in content.answers if "forged" in answer[3]]


def test_merging_makes_nobodys_segments_ours(plain: SignedStore, monkeypatch: pytest.MonkeyPatch):
    """A merged segment is not signed if the log cannot confirm it, such as one of an abandoned timeline."""
    for one in plain.segments[:2]:
        forge_segment(one)
    first, *others = merged(plain, monkeypatch, from_log=False)
    assert str(read_signature(first, plain.signing)) == "unsigned"
    assert read_signature(others[-1], plain.strict).key == plain.key.public
    assert verify_archive(plain.places.archive, signing=plain.signing).is_sound


def test_merging_a_forged_segment_is_refused(plain: SignedStore, monkeypatch: pytest.MonkeyPatch):
    victim = plain.segments[-1]
    before = victim.path.read_bytes()
    forge_segment(victim)
    graft_signature(before, victim)
    names = [one.name for one in plain.segments]
    for from_log in (True, False):
        with pytest.raises(BackupError, match="forged"):
            merged(plain, monkeypatch, from_log=from_log)
        assert [one.name for one in plain.segments] == names


@pytest.mark.parametrize("how", ["unsigned", "signed by others"])
def test_ours_are_not_deleted_in_favour_of_what_others_add(
    plain: SignedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
):
    ours = plain.segments
    contents = [read_segment(one) for one in ours]
    header = msgspec.structs.replace(contents[0].header, last=ours[-1].last)
    place = ours[0].place.parent / f"events-{ours[0].first:012d}-{ours[-1].last:012d}.jsonl.zst"
    rows = [row for one in contents for row in one.rows]
    signer = None if how == "unsigned" else key_in(tmp_path / "keys")
    write_segment(place, header, row_lines(rows), [], signer=signer)
    monkeypatch.setattr(merging, "SMALL_SEGMENTS", 100)
    assert merge(plain.places.archive, signing=plain.signing, read_log=plain.archiver.read_log) == 0
    assert {one.name for one in ours} < {one.name for one in plain.segments}


def test_an_archive_in_a_bucket_is_signed_as_any_other(tmp_path: Path, bucket_server: Any):
    there = InBucket(tmp_path / "names", bucket_server)
    there.close()
    places = msgspec.structs.replace(there.places, store=tmp_path / "data" / "hyperpage.db")
    with SignedStore(tmp_path / "data", places=places) as store:
        fill(store, 3)
        words = f"signed by {store.key.public}"
        assert verify_archive(store.places.archive, signing=store.strict).signatures == {words: 3}
        victim = store.segments[1]
        before = victim.place.read_bytes()
        forge_segment(victim)
        assert list(damage(store, store.strict)) == [victim.name]
        graft_signature(before, victim)
        assert "forged" in damage(store, store.signing)[victim.name]
        write_file(victim.place, before)
        assert replayed(store, strict=True) == {words: 3}


def test_signing_takes_no_noticeable_time(plain: SignedStore):
    """A hundred signatures take less time than one of the two fsyncs of a single segment may take."""
    digest = hashlib.sha256(b"").digest()
    began = time.process_time()
    for number in range(100):
        plain.key.sign("segment", str(number), digest)
    assert time.process_time() - began < 0.1
    assert list_segments(plain.places.archive)
