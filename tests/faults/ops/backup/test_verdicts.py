"""One copy of a store is damaged, in each kind of place: that one is blamed, and nothing is lost."""

import logging
import random
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
import pytest

from bus.log.chain import Row
from domain.counting import counted
from ops.archive.segment import list_segments
from ops.backup.metadata import list_backups, write_metadata
from ops.backup.restoring.plan import lost_end
from ops.backup.restoring.recovery import DamagedStoreError, require_sound_store
from ops.backup.verdict import STORE, judge
from ops.settings import Settings
from ops.store.projections_check import verify
from ops.targets.signing import Signing
from ops.targets.target import local
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, Stored, answers_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.pages import PAGE_BYTES, overwrite, pages_of

PLACES = [
    ("sqlite_schema", "any"),
    ("events", "internal"),
    ("events", "leaf"),
    ("events", "overflow"),
    ("sqlite_autoindex_events_1", "leaf"),
    ("command_answers", "leaf"),
    ("command_ids", "leaf"),
    ("jobs", "leaf"),
    ("store", "leaf"),
    ("timelines", "leaf"),
]


class Whole(NamedTuple):
    """A stopped store with two backups and an archive, its log and answers; `crashed` is as after a crash."""

    folder: Path
    crashed: Path
    log: list[Row]
    answers: list[object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole") / "data"
    with Archived(folder, 5) as stored:
        for _ in range(3):
            stored.work(25)
            stored.store.send("app_state.set", {"key": "large", "value": "x" * 20_000}, id=f"large-{_}")
            stored.archive()
            if _ < 2:
                stored.backup()
        crashed = folder.with_name("crashed")
        shutil.copytree(folder, crashed)
        shutil.copyfile(f"{stored.path}-wal", crashed / "hyperpage.db-wal")
        log, answers = log_of(stored.path), answers_of(stored.path)
    return Whole(folder, crashed, log, list(answers))


def settings_of(whole: Path, folder: Path) -> Settings:
    shutil.copytree(whole, folder)
    # `archive.json` says how far the archive in one certain folder is written.
    said = folder / "archive.json"
    said.write_text(said.read_text().replace(str(whole), str(folder)))
    return Settings(data=folder)


def require_all(settings: Settings, whole: Whole) -> None:
    assert log_of(settings.store_path)[: len(whole.log)] == whole.log
    assert answers_of(settings.store_path) == whole.answers
    assert verify(settings.store_path)["equal"]


@pytest.mark.parametrize(("table", "kind"), PLACES, ids=str)
def test_a_damaged_store_is_blamed_and_made_anew(table: str, kind: str, whole: Whole, tmp_path: Path):
    settings, chance = settings_of(whole.folder, tmp_path / "data"), random.Random(f"{table} {kind}")
    with closing(apsw.Connection(str(settings.store_path))) as connection:
        page = chance.choice(pages_of(connection, table, kind))
    overwrite(settings.store_path, page, chance)

    verdict = judge(settings.places)
    assert list(verdict.wrong) == [STORE], verdict
    assert (verdict.lost, verdict.reaches) == (0, len(whole.log))
    assert "nothing is lost with it" in verdict.hint
    always = Settings(data=settings.data, check_at_start="always")
    assert require_sound_store(always, after_a_crash=False, version=VERSION) is not None
    require_all(settings, whole)
    assert judge(settings.places).wrong == {}


def test_a_damaged_backup_is_blamed_and_the_store_is_well(whole: Whole, tmp_path: Path):
    settings = settings_of(whole.folder, tmp_path / "data")
    newest = local(list_backups(settings.backup_folder)[0].place)
    overwrite(newest, 9, random.Random(1))
    verdict = judge(settings.places, wrong={newest.name: "its SHA-256 is another one"})
    assert list(verdict.wrong) == [newest.name]
    assert f"hyperpage backup delete {newest.name}" in verdict.hint
    assert (verdict.lost, "the store is well" in verdict.hint) == (0, True)


def test_one_backup_whose_metadata_alone_is_wrong_is_blamed(whole: Whole, tmp_path: Path):
    settings = settings_of(whole.folder, tmp_path / "data")
    newest, older = list_backups(settings.backup_folder)
    local(older.place).unlink()
    write_metadata(newest.place, msgspec.structs.replace(newest.metadata, head_hash="00" * 32))
    verdict = judge(settings.places)
    assert list(verdict.wrong) == [newest.name]
    assert "the store is well" in verdict.hint


def test_against_one_whole_backup_the_store_is_right_and_against_two_it_is_not(tmp_path: Path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with Stored(ours) as stored:
        stored.work(5)
    shutil.copytree(ours, theirs)
    with Stored(theirs) as other, Stored(ours) as stored:
        stored.work(15)
        for number, wrong in enumerate(("backup", "store")):
            other.store.send("app_state.set", {"key": "k", "value": number}, id=f"other-{number}")
            made = other.backup()
            for file in local(made.place).parent.iterdir():
                stored.folder.mkdir(exist_ok=True)
                shutil.copy(file, stored.folder)
            other.clock.now += 1
            verdict = judge(stored.places)
            assert list(verdict.wrong)[:1] == [STORE if wrong == "store" else made.name]
            # The wrong backup may have events that are nowhere else.
            assert wrong == "store" or f"keep {made.name}" in verdict.hint
            assert "backup delete" not in verdict.hint


@pytest.mark.parametrize("why", ["damaged", "unsigned"])
def test_a_backup_that_is_worth_nothing_does_not_say_where_the_log_ended(
    why: str, whole: Whole, tmp_path: Path
):
    places = settings_of(whole.folder, tmp_path / "data").places
    newest = list_backups(places.backups)[0]
    unsound = "damaged" if why == "damaged" else ""
    write_metadata(newest.place, msgspec.structs.replace(newest.metadata, position=10**9, unsound=unsound))
    if why == "unsigned":
        places = msgspec.structs.replace(places, signing=Signing(is_required=True))
    assert lost_end(places) is None


def test_store_backup_and_segment_are_damaged_and_what_is_left_has_everything(whole: Whole, tmp_path: Path):
    settings, chance = settings_of(whole.folder, tmp_path / "data"), random.Random(3)
    newest = local(list_backups(settings.backup_folder)[0].place)
    overwrite(newest, 9, chance)
    # The events of the second segment are in the newest backup, which is damaged, and in the store.
    segment = local(list_segments(settings.archive_folder)[1].place)
    segment.write_bytes(segment.read_bytes()[:-7] + b"damaged")
    with closing(apsw.Connection(str(settings.store_path))) as connection:
        overwrite(settings.store_path, pages_of(connection, "jobs", "leaf")[0], chance)
    verdict = judge(settings.places)
    assert set(verdict.wrong) == {STORE, newest.name, segment.name}
    assert verdict.lost == 0
    require_sound_store(
        Settings(data=settings.data, check_at_start="always"), after_a_crash=True, version=VERSION
    )
    require_all(settings, whole)


@pytest.mark.parametrize("what", ["-wal", "-shm"])
def test_what_a_crash_left_is_damaged_and_the_archive_has_the_rest(
    what: str, whole: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings, chance = settings_of(whole.crashed, tmp_path / "data"), random.Random(what)
    file = settings.data / f"hyperpage.db{what}"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3_000] = chance.randbytes(3_000)
    file.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        made = require_sound_store(settings, after_a_crash=True, version=VERSION)
    assert (made is not None) == (what == "-wal")
    require_all(settings, whole)


def test_a_young_store_whose_wal_is_damaged_anywhere_never_begins_anew_beside_its_archive(tmp_path: Path):
    with Archived(tmp_path / "whole", 5) as stored:
        stored.work(10)
        stored.archive()
        # All that the store has is in its WAL, with its tables and its identity.
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path / "whole", crashed)
        log = log_of(stored.path)
    wal = (crashed / "hyperpage.db-wal").read_bytes()
    frames = range(32, len(wal), 24 + PAGE_BYTES)
    # SQLite reads whole transactions only, so each cut is behind one.
    cuts = [32, *(at + 24 + PAGE_BYTES for at in frames if any(wal[at + 4 : at + 8]))]
    assert len(cuts) > 5
    for cut in cuts:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        settings = settings_of(crashed, tmp_path / "data")
        (settings.data / "hyperpage.db-wal").write_bytes(wal[:cut])
        # The damage is reported, or the store is made anew from the archive.
        with suppress(DamagedStoreError):
            require_sound_store(settings, after_a_crash=True, version=VERSION)
            assert log_of(settings.store_path)[: len(log)] == log


def test_where_something_would_be_lost_nothing_is_done(whole: Whole, tmp_path: Path):
    settings = settings_of(whole.folder, tmp_path / "data")
    shutil.rmtree(local(settings.archive_folder))
    with closing(apsw.Connection(str(settings.store_path))) as connection:
        page = pages_of(connection, "events", "leaf")[-1]
    overwrite(settings.store_path, page, random.Random(2))
    before = settings.store_path.read_bytes()
    verdict = judge(settings.places, known=len(whole.log))
    assert list(verdict.wrong) == [STORE]
    assert verdict.lost is not None
    assert verdict.lost > 0
    assert counted(verdict.lost, "event behind is", "events behind are") in verdict.hint
    assert settings.store_path.read_bytes() == before
