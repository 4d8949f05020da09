"""Backups: they equal the store, damaged ones are refused, and any moment can be restored."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest

from bus.log import chain
from migrations.connection import open_reader, open_writer
from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import (
    Backup,
    damaged_backups,
    list_backups,
    metadata_path,
    read_metadata,
    update_metadata,
    write_metadata,
)
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.swap import INTENT_FILE, Intent, finish_swap
from ops.backup.scratch import LEFT_BEHIND_SECONDS
from ops.backup.sound import file_checksum
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from tests.support.stores.backing_up import VERSION, Stored, tables_of
from tests.support.stores.looking_inside import answers_by_id, log_of


def refusal(path: Path, **options: object) -> str:
    """The reason why a backup is refused."""
    with pytest.raises(BackupError) as caught:
        verify_backup(path, **options)  # type: ignore[arg-type]
    assert path.name in caught.value.message or path.stem in caught.value.message
    return caught.value.reason


def test_a_backup_has_what_was_answered_before_it_began(stored: Stored):
    stored.work(60)
    backup = stored.backup("a first one")

    metadata = backup.metadata
    assert metadata.position == stored.store.writer.head.position
    assert metadata.head_hash == stored.store.writer.head.hash.hex()
    assert (metadata.description, metadata.status, metadata.timeline) == ("a first one", "good", 1)
    assert metadata.size == backup.path.stat().st_size
    assert metadata.checksum == file_checksum(backup.path)
    assert metadata.rows["events"] == metadata.position
    assert tables_of(backup.path) == tables_of(stored.path)
    assert [path.name for path in sorted(stored.folder.iterdir())] == [
        backup.name,
        metadata_path(backup.path).name,
    ]
    assert verify_backup(backup.path).metadata == metadata


def test_backups_under_load_are_each_a_moment_of_the_store(stored: Stored):
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            stored.work(20)

    writing = threading.Thread(target=load)
    writing.start()
    try:
        made: list[tuple[int, Backup]] = []
        for _ in range(8):
            answered = stored.store.writer.head.position
            made.append((answered, create_backup(stored.path, stored.folder, version=VERSION)))
    finally:
        done.set()
        writing.join()
    for answered, backup in made:
        assert backup.metadata.position >= answered
        assert log_of(backup.path) == log_of(stored.path, backup.metadata.position)
        assert drill(backup.path).metadata.status == "proven"


def test_a_store_whose_log_was_changed_gives_no_backup(stored: Stored):
    stored.work(30)
    stored.close()
    connection = open_writer(stored.path)
    connection.execute("UPDATE events SET data = json_set(data, '$.forged', 1) WHERE position = 7")
    connection.close()
    with pytest.raises(BackupError, match="position 7") as caught:
        stored.backup()
    assert caught.value.reason == "chain_broken"
    assert list(stored.folder.iterdir()) == []


def test_a_store_that_was_changed_where_a_backup_has_it_gives_no_other_one(stored: Stored):
    stored.work(30)
    stored.backup()
    stored.work(5)
    stored.close()
    connection = open_writer(stored.path)
    connection.execute("UPDATE events SET data = json_set(data, '$.forged', 1) WHERE position = 7")
    connection.close()
    with pytest.raises(BackupError, match="position 7") as caught:
        stored.backup()
    assert caught.value.reason == "chain_broken"
    stored.reopen()


def test_two_backups_of_one_moment_have_two_names(stored: Stored):
    stored.work(5)
    assert stored.backup().name < stored.backup().name
    assert len(list_backups(stored.folder)) == 2


def test_a_file_without_metadata_is_no_backup(stored: Stored):
    stored.work(5)
    backup = stored.backup()
    metadata_path(backup.path).unlink()

    assert list_backups(stored.folder) == []
    assert [path for path, _ in damaged_backups(stored.folder)] == [backup.path]
    assert refusal(backup.path) == "no_metadata"


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("part", ["file", "metadata"])
def test_every_damage_is_refused(stored: Stored, damage: Callable[[Path, random.Random], None], part: str):
    stored.work(20)
    backup = stored.backup()
    target = backup.path if part == "file" else metadata_path(backup.path)
    sound = target.read_bytes()
    for seed in range(25):
        damage(target, random.Random(seed))
        expected = {
            "file": {"checksum_differs", "size_differs"},
            # A flipped bit can change the format's number, or make the metadata unreadable.
            "metadata": {"metadata_damaged", "unknown_format"},
        }[part]
        assert refusal(backup.path) in expected, f"seed {seed}"
        target.write_bytes(sound)
    verify_backup(backup.path)


def forge(backup: Backup, *statements: str) -> None:
    """Changes a backup, and makes its metadata fit as far as figures go."""
    connection = apsw.Connection(str(backup.path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    write_metadata(
        backup.path,
        msgspec.structs.replace(
            backup.metadata, size=backup.path.stat().st_size, checksum=file_checksum(backup.path)
        ),
    )


def test_a_forged_event_is_found_by_the_chain(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    forge(backup, "UPDATE events SET data = json_set(data, '$.forged', 1) WHERE position = 5")
    assert refusal(backup.path) == "chain_broken"


def test_a_missing_row_is_found_by_the_counts(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    forge(backup, "DELETE FROM app_state WHERE rowid IN (SELECT rowid FROM app_state LIMIT 1)")
    assert refusal(backup.path) == "content_differs"


def test_a_changed_row_is_found_by_a_drill(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    forge(backup, "UPDATE app_state SET value = '1'")
    verify_backup(backup.path)
    with pytest.raises(BackupError, match="app_state") as caught:
        drill(backup.path)
    assert caught.value.reason == "tables_differ"


def test_metadata_of_another_backup_does_not_fit(stored: Stored):
    stored.work(20)
    first = stored.backup()
    stored.work(20)
    second = stored.backup()
    shutil.copy(metadata_path(first.path), metadata_path(second.path))
    assert refusal(second.path) in ("size_differs", "checksum_differs")


def test_a_backup_of_another_store_is_refused(stored: Stored, tmp_path: Path):
    other = Stored(tmp_path / "other")
    other.work(5)
    theirs = other.backup()
    other.close()
    stored.work(5)
    stored.close()

    assert refusal(theirs.path, store_id=stored.store.origin.store_id) == "foreign"
    with pytest.raises(BackupError) as caught:
        restore(stored.places, Moment(backup=str(theirs.path)), version=VERSION)
    assert caught.value.reason == "foreign"
    stored.reopen()


def test_a_newer_format_is_refused_by_that_reason(stored: Stored):
    stored.work(5)
    backup = stored.backup()
    path = metadata_path(backup.path)
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    assert refusal(backup.path) == "unknown_format"


def test_any_position_and_time_can_be_restored(stored: Stored, tmp_path: Path):
    for _ in range(3):
        stored.work(40)
        stored.backup()
    answered = stored.work(20)
    stored.close()
    head = stored.store.writer.head.position
    original = tmp_path / "original.db"
    shutil.copy(stored.path, original)
    rows = log_of(original, head)
    chance = random.Random(1)
    for number in range(12):
        position = chance.randint(1, head)
        by_time = number % 2 == 1
        moment = Moment(time=rows[position - 1].recorded_at) if by_time else Moment(position=position)
        if by_time:
            position = max(row.position for row in rows if row.recorded_at <= rows[position - 1].recorded_at)
        shutil.copy(original, stored.path)
        done = restore(stored.places, moment, version=VERSION, safety=False)

        assert done.position == position
        assert log_of(stored.path, position) == rows[:position]
        report = verify(stored.path)
        assert report["equal"], report
        assert report["position"] == position + 1
    for leftover in stored.path.parent.glob("hyperpage.db?*"):
        leftover.unlink()
    shutil.copy(original, stored.path)
    # Answers from before the moment are given again, byte for byte.
    restore(stored.places, Moment(position=head), version=VERSION)
    stored.reopen()
    remembered = answers_by_id(stored.path)
    for command_id, answer in answered:
        assert remembered.get(command_id, answer.decode()).encode() == answer


def test_a_restore_begins_a_timeline_and_keeps_a_safety_backup(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    stored.work(30)
    stored.close()
    head = stored.store.writer.head.position

    done = restore(stored.places, Moment(backup=backup.name), version=VERSION)

    assert (done.position, done.timeline) == (backup.metadata.position, 2)
    assert done.safety_backup is not None
    assert read_metadata(Path(done.safety_backup)).position == head
    again = restore(stored.places, Moment(backup=backup.name), version=VERSION)
    assert again.timeline == 3
    stored.reopen()
    assert stored.store.writer.timeline == 3
    assert stored.store.origin.timelines == ((1, 1), (3, done.position + 1))
    answer = stored.store.send("app_state.set", {"key": "k", "value": 1}).said
    assert (answer["timeline"], answer["position"]) == (3, done.position + 2)


def test_what_was_given_up_can_be_had_again_from_its_backup(stored: Stored):
    stored.work(30)
    stored.close()
    head = stored.store.writer.head.position
    before = tables_of(stored.path)
    stored.backup()
    back = restore(stored.places, Moment(position=5), version=VERSION)
    assert back.safety_backup is not None
    restore(stored.places, Moment(backup=back.safety_backup, position=head), version=VERSION)
    assert tables_of(stored.path) == before
    stored.reopen()


def test_a_plan_says_what_a_restore_would_do_and_does_nothing(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    stored.work(30)
    head = stored.store.writer.head.position

    plan = plan_restore(stored.places, Moment(position=backup.metadata.position - 1))

    assert plan.backup == str(backup.path)
    assert (plan.position, plan.timeline) == (backup.metadata.position - 1, 2)
    assert plan.events_lost == head - plan.position
    assert plan_restore(stored.places, Moment(position=head)).backup == "the present store"
    with pytest.raises(BackupError) as caught:
        plan_restore(stored.places, Moment(position=head + 1))
    assert caught.value.reason == "unreachable_moment"
    assert len(list_backups(stored.folder)) == 1


def test_a_store_that_cannot_be_read_is_set_aside(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    stored.close()
    damaged = b"not a database" * 1_000
    stored.path.write_bytes(damaged)

    done = restore(stored.places, Moment(), version=VERSION)

    assert done.set_aside is not None
    assert Path(done.set_aside).read_bytes() == damaged
    assert log_of(stored.path, backup.metadata.position) == log_of(backup.path, backup.metadata.position)
    stored.reopen()


def test_a_restore_that_fails_leaves_the_store_as_it_was(stored: Stored, monkeypatch: pytest.MonkeyPatch):
    stored.work(30)
    stored.backup()
    stored.close()
    before = tables_of(stored.path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ops.backup.restoring.materialize.seal", fail)
    with pytest.raises(OSError, match="No space"):
        restore(stored.places, Moment(position=3), version=VERSION)
    assert tables_of(stored.path) == before
    assert not list(stored.path.parent.glob("*restor*"))
    stored.reopen()


class _CutOffError(Exception):
    """Raised where the process would be killed."""


@pytest.mark.parametrize("step", range(8))
def test_a_swap_that_is_cut_off_anywhere_ends_in_the_old_store_or_the_new_one(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, step: int
):
    stored.work(30)
    stored.backup()
    old = tables_of(stored.path)
    stored.close()
    # Side files of the old store are left, as after a kill.
    stored.path.with_name("hyperpage.db-shm").write_bytes(b"stale")
    left = step
    replace, unlink = Path.replace, Path.unlink

    def count() -> None:
        nonlocal left
        if left == 0:
            raise _CutOffError
        left -= 1

    def counted_replace(self: Path, target: Path) -> Path:
        if "hyperpage.db" in self.name or INTENT_FILE in target.name:
            count()
        return replace(self, target)

    def counted_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.parent == stored.path.parent:
            count()
        unlink(self, missing_ok)

    cut_off = False
    with monkeypatch.context() as patched:
        patched.setattr(
            "ops.backup.restoring.restore.swap", lambda store, intent: _swap(patched, store, intent)
        )

        def _swap(patched: pytest.MonkeyPatch, store: Path, intent: Intent) -> None:
            from ops.backup.restoring.swap import swap

            patched.setattr(Path, "replace", counted_replace)
            patched.setattr(Path, "unlink", counted_unlink)
            swap(store, intent)

        try:
            restore(stored.places, Moment(position=3), version=VERSION, safety=False)
        except _CutOffError:
            cut_off = True
    finished = finish_swap(stored.path)

    store = stored.reopen()
    if finished is not None or not cut_off:
        assert store.writer.head.position == 4
    else:
        assert tables_of(stored.path) == old
    assert not (stored.path.parent / INTENT_FILE).exists()
    connection = open_reader(stored.path)
    chain.verify_chain(connection)
    connection.close()


def test_what_a_killed_restore_left_behind_does_not_get_into_the_next_one(stored: Stored):
    stored.work(60)
    backup = stored.backup()
    stored.work(10)
    stored.close()
    # As after a kill while the tables were repaired: a file, and a WAL that belongs to it.
    work = stored.path.with_name("hyperpage.db.restoring")
    shutil.copy(backup.path, work)
    connection = open_writer(work)
    connection.execute("DELETE FROM jobs")
    leftovers = {path: path.read_bytes() for path in work.parent.glob(f"{work.name}*")}
    connection.close()
    for path, content in leftovers.items():
        path.write_bytes(content)
    assert any(path.name.endswith("-wal") for path in leftovers)

    restore(stored.places, Moment(backup=backup.name), version=VERSION)

    assert verify(stored.path)["equal"]
    assert {**tables_of(stored.path)} == tables_of(backup.path)
    stored.reopen()


def test_without_a_safety_backup_the_store_is_set_aside(stored: Stored):
    stored.work(30)
    backup = stored.backup()
    stored.work(30)
    stored.close()
    before = log_of(stored.path)

    done = restore(stored.places, Moment(backup=backup.name), version=VERSION, safety=False)

    assert done.safety_backup is None
    assert done.set_aside is not None
    assert log_of(Path(done.set_aside), 10**9) == before
    stored.reopen()


def test_a_pin_that_is_set_during_a_drill_stays(stored: Stored):
    stored.work(30)
    backup = stored.backup()

    def pin(what: str, done: int, total: int) -> None:
        if what == "tables":
            update_metadata(backup.path, pinned=True)

    proven = drill(backup.path, progress=pin)
    assert (proven.metadata.pinned, proven.metadata.status) == (True, "proven")


def test_backups_of_another_store_in_the_same_folder_are_passed_over(stored: Stored, tmp_path: Path):
    other = Stored(tmp_path / "other")
    other.places = msgspec.structs.replace(other.places, backups=stored.folder)
    other.work(90)
    stored.work(30)
    ours = stored.backup()
    other.clock.now += 10_000_000
    other.backup()
    other.close()

    assert [one.name for one in list_backups(stored.folder, stored.store.origin.store_id)] == [ours.name]
    assert plan_restore(stored.places, Moment()).backup == str(ours.path)
    assert plan_restore(stored.places, Moment(position=5)).backup == str(ours.path)
    stored.close()
    for leftover in stored.path.parent.glob("hyperpage.db*"):
        leftover.unlink()
    with pytest.raises(BackupError, match="several stores"):
        plan_restore(stored.places, Moment(latest=True))
    assert restore(stored.places, Moment(backup=ours.name), version=VERSION).position > 0
    stored.reopen()


def test_moments_that_never_were_are_refused(stored: Stored):
    stored.work(10)
    stored.backup()
    for moment in (Moment(position=-5), Moment(time=1_000)):
        with pytest.raises(BackupError) as caught:
            plan_restore(stored.places, moment)
        assert caught.value.reason == "unreachable_moment"


def test_what_killed_backups_and_drills_left_behind_is_swept_away(stored: Stored):
    stored.work(5)
    stored.backup()
    long_ago = time.time() - 2 * LEFT_BEHIND_SECONDS
    scratch = stored.folder / ".drill-abc"
    scratch.mkdir()
    # A copy in a deeper folder that is still being fetched, though the folder itself is old.
    busy = stored.folder / ".drill-def"
    (busy / "backups").mkdir(parents=True)
    (busy / "backups" / "hyperpage.db").write_bytes(b"x")
    old = [stored.folder / ".hyperpage-backup-1.db.tmp", scratch / "hyperpage.db"]
    fresh = stored.folder / ".hyperpage-backup-2.db.tmp"
    for path in (*old, fresh):
        path.write_bytes(b"x")
    for path in (*old, scratch, busy, busy / "backups"):
        os.utime(path, (long_ago, long_ago))
    stored.backup()
    assert not any(path.exists() for path in (*old, scratch))
    assert fresh.exists()
    assert busy.exists()
