"""Signatures of backups: files written without the key are found, and refused if the settings say so."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import (
    Backup,
    Metadata,
    list_backups,
    metadata_path,
    read_backup,
    update_metadata,
    write_metadata,
)
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.retention import Rules, retain
from ops.backup.verify import verify_backup, verify_by_routine, verify_whole
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from ops.targets.signing import Signing, SigningKey, make_key
from ops.targets.target import write_file
from tests.support.repository import ROOT
from tests.support.stores.backing_up import VERSION
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.signed import (
    SignedStore,
    change_metadata,
    contents,
    forge_backup,
    key_in,
    remove_key,
    signature_line,
    strip_backup,
)

FORMS = {"plain": Sealing(), "compressed": Sealing("zstd"), "encrypted": SEALED}


@pytest.fixture(params=list(FORMS))
def store(request: pytest.FixtureRequest, tmp_path: Path):
    with SignedStore(tmp_path / "data", FORMS[request.param]) as store:
        store.work(30)
        yield store


@pytest.fixture
def plain(tmp_path: Path):
    with SignedStore(tmp_path / "data") as store:
        store.work(30)
        yield store


def refused(place: Any, signing: Signing) -> str:
    """The one reason why each check refuses a backup; its metadata stays as it is."""
    before = metadata_path(place).read_bytes()
    reasons = set()
    for check in (
        lambda: verify_backup(place, identities=[KEY], signing=signing),
        lambda: verify_whole(place, None, [KEY], None, lambda *_: None, signing),
        lambda: verify_by_routine(place, None, lambda *_: None, signing),
        lambda: drill(place, identities=[KEY], signing=signing),
    ):
        with pytest.raises(BackupError) as caught:
            check()
        reasons.add(caught.value.reason)
    assert metadata_path(place).read_bytes() == before
    (reason,) = reasons
    return reason


def state_of(backup: Backup, signing: Signing) -> tuple[str, str]:
    (listed,) = [one for one in list_backups(backup.place.parent, signing=signing) if one.name == backup.name]
    return str(listed.signature), listed.status


def test_backups_of_a_fresh_store_are_signed_and_none_has_the_key(store: SignedStore):
    backup = store.backup(proven=True)
    assert store.key_file.stat().st_mode & 0o777 == 0o600
    words = f"signed by {store.key.public}"
    assert (str(backup.signature), backup.signature.is_trusted) == (words, True)
    assert state_of(backup, store.strict) == (words, "proven")
    for check in (
        lambda: verify_whole(backup.place, None, [KEY], None, lambda *_: None, store.strict),
        lambda: verify_by_routine(backup.place, None, lambda *_: None, store.strict),
        lambda: drill(backup.place, identities=[KEY], signing=store.strict),
        lambda: update_metadata(backup.place, store.strict, pinned=True),
    ):
        assert str(check().signature) == words
        # The finding is noted in the metadata, which is signed again.
        assert str(read_backup(backup.place, store.strict).signature) == words
    secret = store.key_file.read_text().splitlines()[-1]
    for path in store.path.parent.rglob("*"):
        if path.is_file() and path != store.key_file:
            assert secret.rpartition(":")[2].encode() not in path.read_bytes()


def test_a_forged_backup_whose_metadata_fits_is_unsigned(store: SignedStore, tmp_path: Path):
    backup = store.backup()
    forge_backup(backup, store.path, tmp_path / "theirs")
    # The forged backup is consistent: only the signature tells it from a real one.
    assert str(verify_backup(backup.place, identities=[KEY]).signature) == "unsigned"
    assert state_of(backup, store.signing) == ("unsigned", "good")
    assert refused(backup.place, store.strict) == "unsigned"
    assert state_of(backup, store.strict) == ("unsigned", "damaged")


def test_a_forged_backup_with_the_signature_of_the_one_before_is_forged(store: SignedStore, tmp_path: Path):
    backup = store.backup()
    line = signature_line(backup)
    forge_backup(backup, store.path, tmp_path / "theirs")
    content = metadata_path(backup.place).read_bytes()
    write_file(metadata_path(backup.place), content.removesuffix(b"\n}\n") + line)
    for signing in (store.signing, store.strict, Signing()):
        assert refused(backup.place, signing) == "forged"
        assert state_of(backup, signing) == ("forged", "damaged")


def test_a_backup_that_somebody_else_has_signed_is_not_by_a_key_you_trust(store: SignedStore, tmp_path: Path):
    backup = store.backup()
    theirs = key_in(tmp_path / "keys")
    forge_backup(backup, store.path, tmp_path / "theirs", theirs)
    assert state_of(backup, store.signing)[0] == f"signed by {theirs.public} (not a key you trust)"
    verify_backup(backup.place, identities=[KEY], signing=store.signing)
    assert refused(backup.place, store.strict) == "untrusted"


def is_metadata(members: dict[str, Any]) -> bool:
    try:
        msgspec.convert({name: value for name, value in members.items() if name != "signature"}, Metadata)
    except msgspec.ValidationError:
        return False
    return True


def test_every_member_of_the_metadata_is_signed(plain: SignedStore):
    backup = plain.backup()
    original = metadata_path(backup.path).read_bytes()
    known = msgspec.json.decode(original, type=dict[str, Any])
    others: dict[type, Any] = {
        int: lambda value: value + 1,
        str: lambda value: f"{value}0",
        bool: lambda value: not value,
        list: lambda value: [*value, "0"],
        dict: lambda value: {**value, "more": 1},
        type(None): lambda _: 1,
    }
    changed = {name: others[type(value)](value) for name, value in known.items()}
    for name in ("signature", "metadata_checksum", "format"):
        del changed[name]
    assert set(changed) | {"metadata_checksum", "format"} == set(Metadata.__struct_fields__)
    more = {**changed, "unknown": 1}
    shapeless = {name for name, value in more.items() if not is_metadata({**known, name: value})}
    assert {"position", "head_hash", "last_drilled", "unsound", "pinned"} & shapeless == set()
    for name, value in more.items():
        change_metadata(backup, **{name: value})
        with pytest.raises(BackupError) as caught:
            verify_backup(backup.place, signing=plain.signing)
        # A member of a wrong type makes the metadata damaged; any other change makes it forged.
        assert caught.value.reason == ("metadata_damaged" if name in shapeless else "forged"), name
        write_file(metadata_path(backup.path), original)
    verify_backup(backup.place, signing=plain.strict)


@pytest.mark.parametrize(
    "change",
    [
        b"\n",
        b" ",
        b"\xef\xbb\xbf",
    ],
)
def test_not_even_a_space_more_is_let_pass(plain: SignedStore, change: bytes):
    backup = plain.backup()
    path = metadata_path(backup.path)
    content = path.read_bytes()
    for forged in (change + content, content.replace(b",", b"," + change, 1), content + change):
        path.write_bytes(forged)
        with pytest.raises(BackupError):
            verify_backup(backup.place, signing=plain.strict)


def test_a_second_signature_or_a_member_twice_is_refused(plain: SignedStore):
    backup = plain.backup()
    path = metadata_path(backup.path)
    content, line = path.read_bytes(), signature_line(backup)
    for forged in (
        content.removesuffix(b"\n}\n") + line,
        content.replace(b"{\n", b'{\n  "position": 1,\n', 1),
        content.replace(b"{\n", b'{\n  "signature": "",\n', 1),
        content.replace(line, line.replace(b"ed25519:", b"ed25519:A")),
        content.replace(b'"signature"', b'"Signature"'),
    ):
        assert forged != content
        path.write_bytes(forged)
        with pytest.raises(BackupError) as caught:
            verify_backup(backup.place, signing=plain.signing)
        assert caught.value.reason in ("forged", "metadata_damaged")


def test_a_backup_under_the_name_of_another_is_forged(store: SignedStore):
    older = store.backup()
    store.work(10)
    newer = store.backup()
    write_file(newer.place, older.path.read_bytes())
    write_file(metadata_path(newer.place), metadata_path(older.path).read_bytes())
    assert refused(newer.place, store.signing) == "forged"
    verify_backup(older.place, identities=[KEY], signing=store.strict)


def test_a_stripped_signature_is_noticed(store: SignedStore):
    backup = store.backup()
    strip_backup(backup)
    assert state_of(backup, store.signing) == ("unsigned", "good")
    assert refused(backup.place, store.strict) == "unsigned"
    # Notes in the metadata do not sign an unsigned backup.
    for change in (
        lambda: verify_whole(backup.place, None, [KEY], None, lambda *_: None, store.signing),
        lambda: drill(backup.place, identities=[KEY], signing=store.signing),
        lambda: update_metadata(backup.place, store.signing, pinned=True),
    ):
        assert str(change().signature) == "unsigned"
        assert str(read_backup(backup.place, store.signing).signature) == "unsigned"


def test_what_is_forged_is_not_changed_either(plain: SignedStore):
    backup = plain.backup()
    change_metadata(backup, description="another")
    with pytest.raises(BackupError, match="forged"):
        update_metadata(backup.place, plain.signing, pinned=True)


def test_a_restore_refuses_before_anything_is_touched(store: SignedStore, tmp_path: Path):
    backup = store.backup()
    forge_backup(backup, store.path, tmp_path / "theirs")
    store.close()
    before = contents(store.path.parent)
    for moment in (Moment(backup=backup.name), Moment(), Moment(latest=True)):
        for attempt in (
            lambda moment: restore(store.strict_places, moment, version=VERSION, identities=[KEY]),
            lambda moment: plan_restore(store.strict_places, moment, identities=[KEY], check=True),
        ):
            with pytest.raises(BackupError) as caught:
                attempt(moment)
            assert caught.value.reason == "unsigned"
            assert "require_signed" in caught.value.message
    assert contents(store.path.parent) == before
    # Without the setting, the restore only reports the missing signature.
    done = restore(store.places, Moment(backup=backup.name), version=VERSION, identities=[KEY])
    assert done.signatures == {"unsigned": 1}
    store.reopen()


def test_a_restore_passes_over_what_is_not_signed(store: SignedStore, tmp_path: Path):
    first = store.backup()
    store.work(10)
    second = store.backup()
    forge_backup(second, store.path, tmp_path / "theirs")
    store.close()
    plan = plan_restore(store.strict_places, Moment(latest=True), identities=[KEY], check=True)
    assert plan.backup == str(first.place)
    assert "unsigned" in plan.passed_over[str(second.place)]
    done = restore(store.strict_places, Moment(latest=True), version=VERSION, identities=[KEY])
    # The present store's own log leads on from the backup.
    assert (done.backup, done.position) == (str(first.place), second.metadata.position)
    assert done.signatures == {f"signed by {store.key.public}": 1}
    assert "unsigned" in done.passed_over[str(second.place)]
    store.reopen()


def test_another_machine_needs_the_public_key_alone(store: SignedStore, tmp_path: Path):
    backup = store.backup()
    public = store.key.public
    there = msgspec.structs.replace(
        store.places,
        store=tmp_path / "there" / "hyperpage.db",
        signing=Signing(
            key_file=tmp_path / "there" / "signing-key.txt", trusted_keys=(public,), is_required=True
        ),
    )
    (tmp_path / "there").mkdir()
    before = metadata_path(backup.path).read_bytes()
    found = verify_whole(backup.place, None, [KEY], tmp_path, lambda *_: None, there.signing)
    assert str(found.signature) == f"signed by {public}"
    # There is no key to sign the finding with, so it is told and not stored.
    assert "chain" in found.metadata.checks
    assert metadata_path(backup.path).read_bytes() == before
    with pytest.raises(BackupError) as caught:
        update_metadata(backup.place, there.signing, pinned=True)
    assert caught.value.reason == "no_signing_key"
    done = restore(there, Moment(latest=True), version=VERSION, identities=[KEY])
    assert done.position == backup.metadata.position
    assert done.signatures == {f"signed by {public}": 1}

    unknown = msgspec.structs.replace(there.signing, trusted_keys=())
    assert state_of(backup, unknown)[0] == f"signed by {public} (not a key you trust)"
    assert refused(backup.place, unknown) == "untrusted"


def test_keys_take_turns(plain: SignedStore):
    old = plain.backup()
    old_key = plain.key.public
    make_key(plain.key_file, replace=True)
    new_key = plain.key.public
    assert new_key != old_key
    plain.work(5)
    new = plain.backup()
    assert state_of(new, plain.strict)[0] == f"signed by {new_key}"
    assert refused(old.place, plain.strict) == "untrusted"

    both = msgspec.structs.replace(plain.strict, trusted_keys=(old_key, new_key))
    assert state_of(old, both)[0] == f"signed by {old_key}"
    # A note is signed with the present key, so in time the old key is not needed any more.
    verify_whole(old.place, None, (), None, lambda *_: None, both)
    assert state_of(old, plain.strict) == (f"signed by {new_key}", "good")


def test_a_lost_key_is_not_replaced_by_a_trusted_one(plain: SignedStore):
    old = plain.backup()
    remove_key(plain)
    plain.work(5)
    new = plain.backup()
    assert state_of(new, plain.strict)[1] == "good"
    assert refused(old.place, plain.strict) == "untrusted"


def test_a_file_that_is_no_key_stops_the_backup_and_stays(plain: SignedStore):
    plain.key_file.write_text("nothing\n")
    with pytest.raises(BackupError) as caught:
        plain.backup()
    assert caught.value.reason == "no_signing_key"
    assert plain.key_file.read_text() == "nothing\n"
    assert list_backups(plain.places.backups) == []


def test_old_backups_are_as_good_as_before_unless_signatures_are_required(plain: SignedStore):
    old = create_backup(plain.path, plain.folder, version=VERSION, now_ms=plain.clock.now)
    assert state_of(old, plain.signing) == ("unsigned", "good")
    verify_whole(old.place, None, (), None, lambda *_: None, plain.signing)
    drill(old.place, signing=plain.signing)
    assert state_of(old, plain.signing) == ("unsigned", "proven")
    plain.close()
    done = restore(plain.places, Moment(backup=old.name), version=VERSION)
    assert done.signatures == {"unsigned": 1}
    with pytest.raises(BackupError, match="unsigned"):
        restore(plain.strict_places, Moment(backup=old.name), version=VERSION)
    plain.reopen()


def test_backups_that_were_made_before_there_were_keys_are_what_they_were(tmp_path: Path):
    """The backups of the notebook, which an older version made."""
    folder = shutil.copytree(ROOT / "docs" / "notebook" / "sample", tmp_path / "backups")
    signing = Signing(key_file=tmp_path / "signing-key.txt")
    make_key(tmp_path / "signing-key.txt")
    found = list_backups(folder, signing=signing)
    assert {(str(one.signature), one.status == "damaged") for one in found} == {("unsigned", False)}
    for one in found:
        verify_backup(one.place, whole=False, signing=signing, scratch=tmp_path)
        assert refused(one.place, msgspec.structs.replace(signing, is_required=True)) == "unsigned"


def test_what_others_add_lets_nothing_of_ours_go(plain: SignedStore, tmp_path: Path):
    ours = plain.backup(proven=True)
    plain.clock.now += 60_000
    for signer in (None, key_in(tmp_path / "keys")):
        plain.clock.now += 1
        added = create_backup(plain.path, plain.folder, version=VERSION, now_ms=plain.clock.now)
        proven = msgspec.structs.replace(added.metadata, last_drilled=plain.clock.now)
        write_metadata(added.place, proven, signer)
    listed = list_backups(plain.folder, signing=plain.signing)
    kept = retain(listed, Rules(days=0), plain.clock.now)
    assert len(kept) == 3
    assert kept[ours.name] == "the newest signed one"
    assert (
        retain(list_backups(plain.folder, signing=plain.strict), Rules(days=0), 0)[ours.name] == "the newest"
    )


def test_what_others_add_does_not_keep_backups_from_being_made(plain: SignedStore):
    plain.work(3)
    fake = create_backup(plain.path, plain.folder, version=VERSION, now_ms=plain.clock.now)
    write_metadata(fake.place, msgspec.structs.replace(fake.metadata, head_hash="00" * 32))
    plain.work(3)
    made = plain.backup()
    verify_backup(made.place, signing=plain.strict)


def test_a_backup_in_a_bucket_is_signed_as_any_other(tmp_path: Path, bucket_server: Any):
    from tests.support.stores.in_bucket import InBucket

    with InBucket(tmp_path / "names", bucket_server) as named:
        places = named.places
    with SignedStore(
        tmp_path / "data",
        places=msgspec.structs.replace(places, store=tmp_path / "data" / "hyperpage.db", sealing=SEALED),
    ) as store:
        store.work(20)
        backup = store.backup()
        drill(backup.place, identities=[KEY], signing=store.strict)
        assert state_of(backup, store.strict) == (f"signed by {store.key.public}", "proven")
        strip_backup(backup)
        assert refused(backup.place, store.strict) == "unsigned"
        drill(backup.place, identities=[KEY], signing=store.signing)


def test_two_that_make_a_key_at_once_have_the_same(tmp_path: Path):
    file = tmp_path / "signing-key.txt"
    make_key(file)
    first = file.read_text()
    make_key(file)
    assert file.read_text() == first
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_signature_fits_its_kind_and_its_name_alone(tmp_path: Path):
    key = SigningKey(bytes(32))
    signing = Signing(trusted_keys=(key.public,))
    signed = key.sign("backup", "a\nb", b"c")
    assert signing.check("backup", "a\nb", b"c", key.public_bytes, signed).is_trusted
    for kind, name, content in (
        ("segment", "a\nb", b"c"),
        ("backup", "a", b"b\nc"),
        ("backup", "a\nb", b"d"),
    ):
        found = signing.check(kind, name, content, key.public_bytes, signed)  # type: ignore[arg-type]
        assert found.state == "forged"
    # Public keys that are no point of the curve, or weak ones for which signatures can be made without a key.
    for worthless in (bytes(32), b"\xff" * 32, b"\x01" + bytes(31)):
        assert signing.check("backup", "a", b"", worthless, bytes(64)).state == "forged"
