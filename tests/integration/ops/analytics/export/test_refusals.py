"""Backups that an export refuses: each is named with its reason, and the others are exported."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from ops.analytics import connect
from ops.analytics.asking.query import ask
from ops.analytics.export.exporting import export
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.locks import locked
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, metadata_path, write_metadata
from ops.backup.sound import file_checksum
from tests.support.stores.backing_up import Stored
from tests.support.stores.keys import KEY, SEALED
from tests.support.stores.lakes import exported


def three(stored: Stored) -> list[Backup]:
    return of_moments(stored, 3)


def of_moments(stored: Stored, count: int) -> list[Backup]:
    """Backups of so many moments, the oldest first."""
    found = []
    for _ in range(count):
        stored.work(30)
        stored.clock.now += 1_000
        found.append(stored.backup())
    return found


def flip_a_byte(backup: Backup) -> None:
    content = bytearray(backup.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    backup.path.write_bytes(content)


def cut_off(backup: Backup) -> None:
    backup.path.write_bytes(backup.path.read_bytes()[:-4096])


def not_finish(backup: Backup) -> None:
    metadata_path(backup.path).unlink()


def damage_its_metadata(backup: Backup) -> None:
    path = metadata_path(backup.path)
    path.write_bytes(path.read_bytes().replace(b'"position"', b'"posilion"'))


def forge_an_event(backup: Backup) -> None:
    """Another event in its place, and metadata that vouch for it."""
    with closing(apsw.Connection(str(backup.path))) as connection:
        connection.execute("UPDATE events SET type = 'job.unheard_of.v9' WHERE position = 40")
    checksum, size = file_checksum(backup.path), backup.path.stat().st_size
    write_metadata(backup.path, msgspec.structs.replace(backup.metadata, checksum=checksum, size=size))


def say_other_rows(backup: Backup) -> None:
    rows = backup.metadata.rows | {"jobs": backup.metadata.rows["jobs"] + 1}
    write_metadata(backup.path, msgspec.structs.replace(backup.metadata, rows=rows))


def belong_to_another_store(backup: Backup) -> None:
    write_metadata(backup.path, msgspec.structs.replace(backup.metadata, store_id="another"))


def be_no_database(backup: Backup) -> None:
    backup.path.write_bytes(b"x" * backup.metadata.size)


HARMS: list[tuple[Callable[[Backup], None], set[str]]] = [
    (flip_a_byte, {"checksum_differs", "damaged"}),
    (cut_off, {"size_differs"}),
    (not_finish, {"no_metadata"}),
    (damage_its_metadata, {"metadata_damaged"}),
    (forge_an_event, {"damaged"}),
    (say_other_rows, {"content_differs"}),
    (belong_to_another_store, {"foreign"}),
    (be_no_database, {"damaged", "checksum_differs"}),
]


def test_a_backup_that_is_not_sound_is_refused_and_the_others_go_on(stored: Stored, lake: Path):
    first, *harmed, last = of_moments(stored, 2 + len(HARMS))
    for (harm, _), backup in zip(HARMS, harmed, strict=True):
        harm(backup)

    report = exported(stored, lake)

    refused = {one.name: one for one in report.refused}
    assert refused.keys() == {one.name for one in harmed}
    for (harm, reasons), backup in zip(HARMS, harmed, strict=True):
        assert refused[backup.name].reason in reasons, harm
        assert refused[backup.name].message
    assert report.exported == [first.name, last.name]
    end = last.metadata.position
    assert report.events == end
    with closing(connect(lake)) as connection:
        assert connection.execute("SELECT count(*), max(position) FROM events").fetchone() == (end, end)
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (2,)
    assert not [path for path in lake.rglob("*") if path.name.endswith(".tmp")]


def test_one_that_is_gone_meanwhile_is_refused(stored: Stored, lake: Path):
    first, second, third = three(stored)
    second.path.unlink()

    report = export([first, second, third], lake, store_id=None)

    assert [(one.name, one.reason) for one in report.refused] == [(second.name, "not_found")]
    assert report.exported == [first.name, third.name]


def test_an_encrypted_one_needs_its_key(stored: Stored, lake: Path, tmp_path: Path):
    first, *_ = three(stored)
    stored.clock.now += 1_000
    encrypted = create_backup(
        stored.path,
        stored.folder,
        version="0",
        now_ms=stored.clock.now,
        sealing=SEALED,
    )

    report = exported(stored, lake)
    assert [(one.name, one.reason) for one in report.refused] == [(encrypted.name, "encrypted")]
    assert len(report.exported) == 3
    scratch = tmp_path / "scratch"
    with_key = export([encrypted], lake, store_id=None, identities=(KEY,), scratch=scratch)
    assert (with_key.exported, with_key.refused) == ([encrypted.name], [])
    assert not list(scratch.iterdir())
    assert first.metadata.position < encrypted.metadata.position


def test_a_copy_of_the_store_that_went_on_elsewhere_is_refused(stored: Stored, lake: Path, tmp_path: Path):
    first, *_ = three(stored)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(first.path, elsewhere / "hyperpage.db")
    copy = Stored(elsewhere, seed=7)
    copy.work(100)
    theirs = copy.backup()
    copy.close()
    assert theirs.metadata.store_id == first.metadata.store_id
    exported(stored, lake)

    report = export([theirs], lake, store_id=None)

    assert [one.reason for one in report.refused] == ["foreign"]
    assert "another history" in report.refused[0].message


def test_nothing_that_is_asked_or_exported_changes_a_backup(stored: Stored, lake: Path):
    three(stored)

    def looks() -> dict[str, tuple[str, int]]:
        return {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in stored.folder.iterdir()
        }

    before = looks()
    exported(stored, lake)
    assert list(ask(lake, "SELECT count(*) FROM jobs").rows())
    with closing(connect(lake)) as connection:
        connection.execute("CREATE TABLE mine AS FROM jobs")
        connection.execute("DROP TABLE mine")
    assert looks() == before


def test_two_exports_at_a_time_are_one_too_many(stored: Stored, lake: Path):
    three(stored)
    with locked(lake), pytest.raises(AnalyticsError) as caught:
        exported(stored, lake)
    assert caught.value.reason == "in_use"


def test_a_folder_with_something_else_is_left_alone(stored: Stored, tmp_path: Path):
    three(stored)
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.txt").write_text("Dear analyst")

    with pytest.raises(AnalyticsError) as caught:
        exported(stored, folder)

    assert caught.value.reason == "no_lake"
    assert (folder / "letter.txt").read_text() == "Dear analyst"


def test_the_lake_of_another_store_is_not_added_to(stored: Stored, lake: Path, tmp_path: Path):
    three(stored)
    exported(stored, lake)
    other = Stored(tmp_path / "other")
    other.work(10)
    other.backup()

    with pytest.raises(AnalyticsError) as caught:
        exported(other, lake)
    other.close()

    assert caught.value.reason == "foreign"
