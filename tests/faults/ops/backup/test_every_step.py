"""`kill -9` and a full disk at every step of a backup, the archive and a restore: nothing good is lost."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bus.log import chain
from migrations.connection import open_reader
from ops.archive import merge as merging
from ops.archive.reading import read_segment
from ops.archive.replay import reach
from ops.archive.segment import list_segments
from ops.backup.metadata import list_backups, metadata_path
from ops.backup.restoring.swap import finish_swap
from ops.store.projections_check import verify
from tests.support.programs.every_step import DONE, TOLD, Fault, count_steps, fail_at
from tests.support.stores.backing_up import answers_of, archived_rows, tables_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.scene import RESTORED, Scene


def check_backup(before: Scene, after: Scene) -> None:
    kept = after.require_backups_sound()
    for one in list_backups(before.folder / "backups"):
        (same,) = [path for path in kept if path.name == one.name]
        assert same.read_bytes() == one.path.read_bytes()
        assert metadata_path(same).read_bytes() == metadata_path(one.path).read_bytes()
    assert after.rows == before.rows
    # Leftovers of the failed backup do not hinder the next one.
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
    # The next start does the same.
    finish_swap(after.places.store)
    if after.rows == rows:
        assert tables_of(after.places.store) == tables_of(before.places.store)
    else:
        assert after.rows[:-1] == rows[:RESTORED]
        assert after.rows[-1].type == "timeline.forked.v1"
        assert verify(after.places.store)["equal"]
        # A backup still has the events that the restore gave up.
        assert any(log_of(path) == rows for path in after.require_backups_sound())
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
    # `Scene.merge` sets it, too; this restores the usual value after the test.
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
        # Some steps only tidy up: if they fail, a leftover stays, and the work is done all the same.
        assert end in ((None,) if fault is Fault.KILL else (TOLD, DONE)), f"step {step} of {steps}"
        ends[end] += 1
        try:
            check(before, after)
        except BaseException:
            print(f"{fault.value} at step {step} of {steps} of {name}")
            raise
    print(f"{fault.value} at {len(chosen)} of the {steps} steps of {name}: {dict(ends)}")
