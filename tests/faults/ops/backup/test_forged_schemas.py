"""A backup brings nothing along in its schema: no trigger, view or constraint, whatever is made to fit."""

import shutil
from pathlib import Path

import pytest

from ops.backup.create import create_backup
from ops.backup.drill import drill
from ops.backup.metadata import Backup
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.verify import verify_backup, verify_by_routine
from ops.progress import ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import Sealing
from tests.support.services.command_line import hyperpage
from tests.support.stores.backing_up import VERSION, Stored, tables_of
from tests.support.stores.forging import FORGED_SCHEMAS, forged_backup, places_in, tamper
from tests.support.stores.keys import KEY, SEALED


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    stored = Stored(tmp_path_factory.mktemp("forged"))
    stored.work(60)
    stored.close()
    return stored


@pytest.fixture(scope="module")
def backup(stored: Stored) -> Backup:
    return create_backup(stored.path, stored.folder, version=VERSION, now_ms=stored.clock.now)


@pytest.mark.parametrize("how", FORGED_SCHEMAS)
def test_what_a_backup_brings_along_is_found_and_named(backup: Backup, tmp_path: Path, how: str):
    statements, named = FORGED_SCHEMAS[how]
    forged = forged_backup(backup, tmp_path, statements)

    for check in (
        lambda: verify_backup(forged.place),
        lambda: verify_by_routine(forged.place, None, ignore_progress),
        lambda: drill(forged.place),
    ):
        with pytest.raises(BackupError) as caught:
            check()
        assert caught.value.reason == "schema_differs"
        assert named in caught.value.message
        assert "restore a backup from before" in caught.value.hint


@pytest.mark.parametrize("how", FORGED_SCHEMAS)
def test_nothing_that_a_backup_brings_along_is_restored(backup: Backup, tmp_path: Path, how: str):
    places = places_in(tmp_path)
    (tmp_path / "backups").mkdir()
    shutil.copy(backup.path, places.store)
    before = places.store.read_bytes()
    forged = forged_backup(backup, tmp_path / "backups", FORGED_SCHEMAS[how][0])

    for moment in (
        Moment(backup=forged.name),
        Moment(),
        # To find a time, the backup itself is read before anything else.
        Moment(backup=forged.name, time=(forged.metadata.last_recorded_at or 0) - 1),
    ):
        with pytest.raises(BackupError) as caught:
            plan_restore(places, moment, check=True)
        assert caught.value.reason == "schema_differs"
        with pytest.raises(BackupError) as caught:
            restore(places, moment, version=VERSION, safety=False)
        assert caught.value.reason == "schema_differs"
        assert places.store.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir() if "restor" in one.name] == []


def test_an_encrypted_backup_brings_nothing_along_either(stored: Stored, tmp_path: Path):
    for number, sealing in enumerate((Sealing("zstd"), SEALED)):
        made = create_backup(
            stored.path, tmp_path / f"{number}-of", version=VERSION, now_ms=1, sealing=sealing
        )
        folder = tmp_path / str(number)
        folder.mkdir()
        forged = forged_backup(made, folder, FORGED_SCHEMAS["a trigger"][0])
        for check in (verify_backup, drill):
            with pytest.raises(BackupError, match="trigger forge on app_state"):
                check(forged.place, identities=[KEY])


def test_a_restore_passes_over_a_forged_backup_for_an_older_one(stored: Stored, tmp_path: Path):
    places = places_in(tmp_path)
    older = create_backup(stored.path, tmp_path / "backups", version=VERSION, now_ms=1_000)
    newer = create_backup(stored.path, tmp_path / "elsewhere", version=VERSION, now_ms=2_000)
    forged = forged_backup(newer, tmp_path / "backups", FORGED_SCHEMAS["a trigger"][0])

    done = restore(places, Moment(latest=True), version=VERSION)

    assert Path(done.backup).name == older.name
    assert "trigger forge" in done.passed_over[str(forged.place)]


def test_no_backup_is_made_of_a_store_that_has_something_in_its_schema(stored: Stored, tmp_path: Path):
    shutil.copy(stored.path, tmp_path / "hyperpage.db")
    tamper(tmp_path / "hyperpage.db", FORGED_SCHEMAS["a trigger"][0])
    with pytest.raises(BackupError, match="trigger forge on app_state"):
        create_backup(tmp_path / "hyperpage.db", tmp_path / "backups", version=VERSION)
    assert [*(tmp_path / "backups").glob("*")] == []


def test_a_store_that_has_something_in_its_schema_is_set_aside_by_a_restore(
    stored: Stored, backup: Backup, tmp_path: Path
):
    places = places_in(tmp_path)
    shutil.copytree(stored.folder, tmp_path / "backups")
    shutil.copy(stored.path, places.store)
    tamper(places.store, FORGED_SCHEMAS["a trigger"][0])

    done = restore(places, Moment(latest=True), version=VERSION)

    assert done.safety_backup is None
    assert done.set_aside is not None
    assert Path(done.set_aside).exists()
    right = tables_of(backup.path)
    assert tables_of(places.store)["app_state"] == right["app_state"]


def test_the_command_line_names_what_is_there_and_exits_with_6(backup: Backup, tmp_path: Path):
    (tmp_path / "backups").mkdir()
    forged = forged_backup(backup, tmp_path / "backups", FORGED_SCHEMAS["a trigger"][0])
    for command in ("verify", "drill"):
        result = hyperpage("backup", command, forged.name, "--data", tmp_path, "--json")
        assert (result.code, result.json["reason"]) == (6, "schema_differs")
        assert "trigger forge on app_state" in result.json["message"]
    result = hyperpage("backup", "restore", forged.name, "--yes", "--data", tmp_path, "--json")
    assert result.code == 6
    assert not (tmp_path / "hyperpage.db").exists()
    result = hyperpage("analytics", "export", "--data", tmp_path, "--json")
    assert result.code == 1
    assert [one["reason"] for one in result.json["refused"]] == ["schema_differs"]
