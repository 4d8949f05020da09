"""An archive whose end was cut off, which the archive itself cannot show."""

from pathlib import Path

import pytest

from ops.archive import archiver
from ops.archive.end import ArchiveEnd
from ops.archive.reading import read_segment
from ops.doctor.backups import look_at_archive_end
from ops.settings import Settings
from tests.support.stores.archived import Archived
from tests.support.stores.looking_inside import log_of


def cut(archived: Archived) -> None:
    archived.segments[-1].path.unlink()


def is_whole(archived: Archived) -> bool:
    return [row for one in archived.segments for row in read_segment(one).rows] == log_of(archived.path)


def filled(archived: Archived) -> None:
    for _ in range(3):
        archived.work(10)
        archived.archive()


def test_an_end_that_was_cut_off_is_noticed_and_written_again(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archiver, "LOOK_SECONDS", 0.0)
    filled(archived)
    assert archived.archiver.state.cut is None
    cut(archived)
    archived.archive()
    assert "had been written up to" in str(archived.archiver.state.cut)
    assert is_whole(archived)


def test_what_was_cut_off_while_nobody_looked_is_noticed_at_the_next_start(archived: Archived):
    filled(archived)
    last = archived.archiver.state.position
    cut(archived)
    archived.archiver = archived.new_archiver()
    archived.archive()
    assert str(archived.archiver.state.cut).endswith(f"had been written up to {last}")
    assert is_whole(archived)
    archived.archiver = archived.new_archiver()
    archived.archive()
    assert archived.archiver.state.cut is None, "all is there again"


def test_a_whole_timeline_that_is_gone_is_cut_off_too(archived: Archived):
    filled(archived)
    for one in archived.segments:
        one.path.unlink()
    archived.archiver = archived.new_archiver()
    archived.archive()
    assert str(archived.archiver.state.cut).startswith("it ends with position 0")
    assert is_whole(archived)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"position": -1}', b"{" * 5_000])
def test_without_a_note_nothing_is_said(archived: Archived, content: bytes):
    filled(archived)
    cut(archived)
    (archived.path.parent / "archive.json").write_bytes(content)
    assert ArchiveEnd(archived.path, archived.places.archive, archived.store.origin.store_id).cut(1) is None


def test_the_doctor_says_what_is_missing(archived: Archived, tmp_path: Path):
    filled(archived)
    settings = Settings(data=archived.path.parent, archive=str(archived.places.archive))
    assert list(look_at_archive_end(settings)) == []
    cut(archived)
    (found,) = look_at_archive_end(settings)
    assert (found.check, found.level) == ("reach", "wrong")
