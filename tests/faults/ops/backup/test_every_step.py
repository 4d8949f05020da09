"""`kill -9` and a full disk at every step of a backup, the archive and a restore: nothing good is lost."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyrage
import pytest

from bus.log import chain
from bus.log.cloud_events import read_origin
from bus.log.reader_pool import ReaderPool
from migrations.connection import open_reader
from ops.archive import merge as merging
from ops.archive.archiver import Archiver
from ops.archive.merge import merge
from ops.archive.reading import read_segment
from ops.archive.replay import reach
from ops.archive.segment import list_segments
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups, metadata_path
from ops.backup.restore import restore
from ops.backup.restore_path import Moment
from ops.backup.swap import finish_swap
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets.places import Places
from ops.targets.sealing import Sealing
from tests.integration.ops.archive.test_archiver import Archived
from tests.support.programs.every_step import DONE, TOLD, Fault, count_steps, fail_at
from tests.support.stores.backing_up import VERSION, answers_of, archived_rows, log_of, tables_of

KEY = pyrage.x25519.Identity.generate()
SEALED = Sealing("zstd", (str(KEY.to_public()),))
RESTORED = 60


class Scene:
    """A folder with a stopped store that has a backup, a newer one, and an archive that is behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(
            store=folder / "hyperpage.db", backups=folder / "backups", archive=folder / "archive"
        )

    @classmethod
    def make(cls, folder: Path) -> "Scene":
        stored = Archived(folder)
        stored.work(40)
        stored.backup("the first")
        for _ in range(4):
            stored.work(10)
            stored.archive()
        stored.backup("the second")
        stored.work(20)
        stored.close()
        return cls(folder)

    def copy(self, folder: Path) -> "Scene":
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        return Scene(folder)

    @property
    def rows(self) -> list[chain.Row]:
        return log_of(self.places.store, 10**9)

    def back_up(self) -> None:
        create_backup(self.places.store, self.folder / "backups", version=VERSION)

    def back_up_sealed(self) -> None:
        create_backup(self.places.store, self.folder / "backups", version=VERSION, sealing=SEALED)

    def archive(self) -> None:
        with closing(open_reader(self.places.store)) as connection:
            origin = read_origin(connection)
        with closing(ReaderPool(self.places.store)) as readers:
            archiver = Archiver(self.folder / "archive", origin, readers.connection, store=self.places.store)
            # As `stop` does it, which tells nobody but the log of what went wrong.
            asyncio.run(archiver._catch_up())

    def merge(self) -> None:
        merging.SMALL_SEGMENTS = 3
        merge(self.places.archive)

    def restore(self) -> None:
        restore(self.places, Moment(position=RESTORED), version=VERSION)

    def require_backups_sound(self) -> list[Path]:
        backups = list_backups(self.folder / "backups")
        for one in backups:
            verify_backup(one.place, identities=[KEY])
        return [one.path for one in backups]


def check_backup(before: Scene, after: Scene) -> None:
    kept = after.require_backups_sound()
    for one in list_backups(before.folder / "backups"):
        (same,) = [path for path in kept if path.name == one.name]
        assert same.read_bytes() == one.path.read_bytes()
        assert metadata_path(same).read_bytes() == metadata_path(one.path).read_bytes()
    assert after.rows == before.rows
    # What was left behind stands in nobody's way.
    after.back_up()
    assert len(after.require_backups_sound()) == len(kept) + 1


def check_archive(before: Scene, after: Scene) -> None:
    rows = before.rows
    found = reach(after.places.archive)
    assert found is not None
    archived = list(archived_rows(after.places.archive, found[1]))
    known = reach(before.places.archive)
    assert known is not None
    assert len(archived) >= known[2]
    assert archived == rows[: len(archived)]
    after.archive()
    after.merge()
    assert list(archived_rows(after.places.archive, found[1])) == rows
    answers = {
        answer[0]: answer
        for one in list_segments(after.places.archive)
        for answer in read_segment(one).answers
    }
    assert sorted(answers.values()) == answers_of(before.places.store)


def check_restore(before: Scene, after: Scene) -> None:
    rows = before.rows
    # What the next start does.
    finish_swap(after.places.store)
    if after.rows == rows:
        assert tables_of(after.places.store) == tables_of(before.places.store)
    else:
        assert after.rows[:-1] == rows[:RESTORED]
        assert after.rows[-1].type == "timeline.forked.v1"
        assert verify(after.places.store)["equal"]
        # What was given up can be had again.
        assert any(log_of(path, 10**9) == rows for path in after.require_backups_sound())
    with closing(open_reader(after.places.store)) as connection:
        chain.verify_chain(connection)
    assert {one.name for one in list_backups(before.folder / "backups")} <= {
        path.name for path in after.require_backups_sound()
    }
    after.restore()
    assert after.rows[:-1] == rows[:RESTORED]
    assert not list(after.folder.glob("*restor*"))


WORK: dict[str, tuple[Callable[[Scene], None], Callable[[Scene, Scene], None]]] = {
    "a backup": (Scene.back_up, check_backup),
    "a sealed backup": (Scene.back_up_sealed, check_backup),
    "archiving": (Scene.archive, check_archive),
    "a merge of the archive": (Scene.merge, check_archive),
    "a restore": (Scene.restore, check_restore),
}


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("most", [4, pytest.param(None, marks=pytest.mark.prove)])
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", WORK)
def test_nothing_good_is_lost_at_any_step(
    tmp_path: Path, name: str, fault: Fault, most: int | None, monkeypatch: pytest.MonkeyPatch
):
    # Set again by the merge, and as it was after the test.
    monkeypatch.setattr(merging, "SMALL_SEGMENTS", 3)
    work, check = WORK[name]
    before = Scene.make(tmp_path / "before")
    whole = before.copy(tmp_path / "whole")
    steps = count_steps(lambda: work(whole))
    chosen = range(steps) if most is None else range(0, steps, -(-steps // most))
    ends: Counter[int | None] = Counter()
    for step in chosen:
        after = before.copy(tmp_path / "after")
        end = fail_at(step, fault, lambda after=after: work(after))  # type: ignore[misc]
        # Some steps only tidy up: what they free may go on being there.
        assert end in ((None,) if fault is Fault.KILL else (TOLD, DONE)), f"step {step} of {steps}"
        ends[end] += 1
        try:
            check(before, after)
        except BaseException:
            print(f"{fault.value} at step {step} of {steps} of {name}")
            raise
    print(f"{fault.value} at {len(chosen)} of the {steps} steps of {name}: {dict(ends)}")
