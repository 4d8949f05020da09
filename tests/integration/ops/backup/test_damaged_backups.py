"""Of several backups, one is damaged: it is passed over and remembered, and no sound one is pruned for it."""

from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from migrations.connection import open_writer
from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import Backup, list_backups, read_metadata, update_metadata
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import Restored, restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.swap import INTENT_FILE, WORK_SUFFIX, settle
from ops.backup.retention import Rules, retain
from ops.backup.verify import verify_by_routine, verify_whole
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from tests.support.stores.backing_up import VERSION, Stored, answers_of, tables_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.pages import PAGE_BYTES


@pytest.fixture
def two(stored: Stored) -> tuple[Backup, Backup]:
    """Two backups, and work before, between and after them."""
    stored.work(40)
    first = stored.backup()
    stored.work(40)
    second = stored.backup()
    stored.work(40)
    return first, second


def spoil(path: Path) -> None:
    """Flips a bit that SQLite does not notice: only the checksum shows the damage."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def restored(stored: Stored, moment: Moment) -> Restored:
    stored.close()
    done = restore(stored.places, moment, version=VERSION)
    assert verify(stored.path)["equal"]
    stored.reopen()
    return done


def test_a_position_is_reached_by_the_next_backup_if_the_nearest_is_damaged(
    stored: Stored, two: tuple[Backup, Backup]
):
    first, second = two
    position = first.metadata.position - 3
    expected = log_of(stored.path, position)
    spoil(first.path)

    planned = plan_restore(stored.places, Moment(position=position), check=True)
    done = restored(stored, Moment(position=position))

    assert (planned.backup, done.backup) == (str(second.path), str(second.path))
    assert log_of(stored.path, position) == expected
    assert done.passed_over == planned.passed_over
    assert "SHA-256" in done.passed_over[str(first.path)]


def test_the_latest_is_what_is_sound(stored: Stored, two: tuple[Backup, Backup]):
    first, second = two
    second.path.write_bytes(b"nothing of it is left")
    head, answers = stored.store.writer.head, answers_of(stored.path)

    planned = plan_restore(stored.places, Moment(latest=True), check=True)
    done = restored(stored, Moment(latest=True))

    # The present store's own log leads on from the backup.
    assert (done.backup, done.position) == (str(first.path), head.position)
    assert (planned.backup, planned.position, planned.events_lost) == (str(first.path), head.position, 0)
    assert list(done.passed_over) == [str(second.path)]
    assert answers_of(stored.path) == answers


def test_where_no_backup_is_sound_the_log_of_the_store_is_enough(stored: Stored, two: tuple[Backup, Backup]):
    for one in two:
        spoil(one.path)
    head, answers = stored.store.writer.head, answers_of(stored.path)
    done = restored(stored, Moment(latest=True))
    assert (done.backup, done.position) == ("nothing", head.position)
    assert set(done.passed_over) == {str(one.path) for one in two}
    assert answers_of(stored.path) == answers


def test_the_latest_of_a_store_that_was_restored_since_all_was_kept_is_its_own(
    stored: Stored, two: tuple[Backup, Backup]
):
    restored(stored, Moment(backup=two[0].name))
    stored.work(10)
    kept, answers = log_of(stored.path), answers_of(stored.path)

    planned = plan_restore(stored.places, Moment(latest=True), check=True)
    done = restored(stored, Moment(latest=True))

    # The backups reach further, but in the abandoned history.
    assert (planned.position, planned.timeline) == (done.position, done.timeline) == (kept[-1].position, 3)
    assert log_of(stored.path)[:-1] == kept
    assert answers_of(stored.path) == answers


def test_a_time_is_looked_up_in_the_next_backup_if_the_nearest_is_damaged(
    stored: Stored, two: tuple[Backup, Backup]
):
    sealed = create_backup(
        stored.path, stored.folder, version=VERSION, now_ms=stored.clock.now, sealing=Sealing("zstd")
    )
    middle = log_of(stored.path)[two[1].metadata.position - 5]
    spoil(sealed.path)
    spoil(two[1].path)
    stored.work(20)
    plain = stored.backup()
    stored.close()
    for leftover in stored.path.parent.glob("hyperpage.db*"):
        leftover.unlink()

    done = restore(stored.places, Moment(time=middle.recorded_at), version=VERSION)

    assert done.backup == str(plain.path)
    assert done.position >= middle.position
    assert set(done.passed_over) == {str(two[1].path), str(sealed.path)}
    stored.reopen()


def test_where_none_is_sound_it_says_what_is_wrong_with_each(stored: Stored, two: tuple[Backup, Backup]):
    for one in two:
        spoil(one.path)
    before = tables_of(stored.path)
    stored.close()
    elsewhere = msgspec.structs.replace(stored.places, store=stored.path.with_name("elsewhere.db"))
    with pytest.raises(BackupError) as caught:
        restore(elsewhere, Moment(latest=True), version=VERSION)
    assert caught.value.reason == "not_found"
    assert "HYPERPAGE_ARCHIVE" in caught.value.hint
    assert all(one.name in caught.value.message for one in two)
    assert tables_of(stored.path) == before
    stored.reopen()


@pytest.mark.parametrize("named", [True, False], ids=["named", "the newest"])
def test_one_that_was_asked_for_is_not_replaced_by_another(
    stored: Stored, two: tuple[Backup, Backup], named: bool
):
    spoil(two[1].path)
    stored.close()
    with pytest.raises(BackupError) as caught:
        restore(stored.places, Moment(backup=two[1].name if named else None), version=VERSION)
    assert caught.value.reason == "checksum_differs"
    assert named or "--latest" in caught.value.hint
    stored.reopen()


def test_a_damaged_store_is_no_way_to_anywhere_and_is_set_aside(stored: Stored, two: tuple[Backup, Backup]):
    stored.close()
    before = tables_of(stored.path)
    content = stored.path.read_bytes()
    head = log_of(stored.path)[-1].position
    with pytest.raises(BackupError, match="the present store is damaged") as caught:
        restore(stored.places, Moment(position=head), version=VERSION, is_damaged=True)
    assert caught.value.reason == "unreachable_moment"
    assert tables_of(stored.path) == before

    position = two[1].metadata.position
    done = restore(stored.places, Moment(position=position), version=VERSION, is_damaged=True)

    assert done.set_aside is not None
    assert Path(done.set_aside).read_bytes() == content
    assert (done.position, done.backup) == (position, str(two[1].path))
    stored.reopen()


@pytest.mark.parametrize("moment", [Moment(position=20), Moment(time=1)], ids=["position", "time"])
def test_a_moment_that_nothing_leads_to_makes_no_empty_store(stored: Stored, moment: Moment):
    """The readable rest of a damaged store's own log can only bring back the latest moment."""
    stored.work(60)
    stored.close()
    with closing(apsw.Connection(str(stored.path))) as connection:
        page = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'events' AND pagetype = 'leaf' ORDER BY path DESC LIMIT 1"
        ).get
    with stored.path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * 64)
    before = stored.path.read_bytes()
    for attempt in (partial(plan_restore, check=True), partial(restore, version=VERSION)):
        with pytest.raises(BackupError) as caught:
            attempt(stored.places, moment)
        assert caught.value.reason == "not_found"
    assert stored.path.read_bytes() == before
    assert restore(stored.places, Moment(latest=True), version=VERSION).position > 20


def test_what_a_check_finds_is_remembered_until_another_finds_it_sound(
    stored: Stored, two: tuple[Backup, Backup]
):
    first, second = two
    drill(first.path)
    drill(second.path)
    content = second.path.read_bytes()
    spoil(second.path)
    for check in (
        lambda: verify_by_routine(second.path, None, lambda *_: None),
        lambda: verify_whole(second.path, None, (), None, lambda *_: None),
        lambda: drill(second.path),
    ):
        update_metadata(second.path, unsound="")
        with pytest.raises(BackupError):
            check()
        assert read_metadata(second.path).unsound == "checksum_differs"
        assert read_metadata(second.path).status == "damaged"

    # A backup that is known to be damaged is not tried first.
    assert plan_restore(stored.places, Moment()).backup == str(first.path)
    kept = retain(list_backups(stored.folder), Rules(days=0, daily=3), stored.clock.now)
    assert kept[first.name] == "the newest"
    assert kept[second.name] is None

    second.path.write_bytes(content)
    verify_whole(second.path, None, (), None, lambda *_: None)
    assert read_metadata(second.path).status == "proven"


def test_a_backup_whose_tables_differ_is_restored_with_tables_from_its_log(stored: Stored):
    stored.work(60)
    right = tables_of(stored.path)
    connection = open_writer(stored.path)
    connection.execute("UPDATE app_state SET value = '\"forged\"'")
    connection.close()
    backup = stored.backup()
    with pytest.raises(BackupError, match="tables"):
        drill(backup.path)
    verify_whole(backup.path, None, (), None, lambda *_: None)
    assert read_metadata(backup.path).unsound == "tables_differ"

    restored(stored, Moment(backup=backup.name))

    assert tables_of(stored.path)["app_state"] == right["app_state"]
    with pytest.raises(BackupError, match="tables"):
        drill(backup.path)


def test_after_a_restore_that_was_cut_off_it_is_said_which_store_there_is(
    stored: Stored, two: tuple[Backup, Backup], monkeypatch: pytest.MonkeyPatch
):
    stored.close()
    before = tables_of(stored.path)
    assert settle(stored.path) is None
    # Killed while it made the new file.
    work = stored.path.with_name(stored.path.name + WORK_SUFFIX)
    work.write_bytes(two[0].path.read_bytes()[:10_000])
    assert "the old store" in str(settle(stored.path))
    assert not work.exists()
    assert tables_of(stored.path) == before
    # Killed when all was ready.
    monkeypatch.setattr("ops.backup.restoring.swap.finish_swap", lambda _: None)
    restore(stored.places, Moment(backup=two[0].name), version=VERSION)
    monkeypatch.undo()
    assert (stored.path.parent / INTENT_FILE).exists()
    assert "the new store, on timeline 2" in str(settle(stored.path))
    assert settle(stored.path) is None
    assert log_of(stored.path)[-1].position == two[0].metadata.position + 1
    stored.reopen()
