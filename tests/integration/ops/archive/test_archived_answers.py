"""A restore brings back every remembered answer of its history, from any backup or segment to any moment."""

import pytest

from bus.log.answers import Answer
from bus.log.reader_pool import ReaderPool
from ops.archive.reading import read_segment
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, answers_of

SAME = ("tool_configs.set", {"tool_name": "github", "config": {"n": 1}})


def restored(archived: Archived, moment: Moment) -> list[Answer]:
    """The answers in a store that is restored after its disk was lost."""
    archived.close()
    for leftover in archived.path.parent.glob("hyperpage.db*"):
        leftover.unlink()
    restore(archived.places, moment, version=VERSION)
    return answers_of(archived.path)


def serve_again(archived: Archived) -> None:
    """Opens the store again, as after a restart of a service with a complete archive."""
    archived.reopen()
    archived.readers = ReaderPool(archived.path)
    archived.archiver = archived.new_archiver()
    archived._told = len(archived.store.commits)


@pytest.mark.parametrize("is_told", [True, False], ids=["as they come", "from the table"])
def test_an_answer_is_in_the_segment_of_its_event(
    archived: Archived, monkeypatch: pytest.MonkeyPatch, is_told: bool
):
    if is_told:
        archived.archive()
    archived.work(20)
    # A restore begins with the backup, and goes on with the segments behind it.
    archived.backup()
    archived.work(20)
    answers = answers_of(archived.path)
    monkeypatch.setattr("ops.archive.archiver.MAXIMUM_EVENTS", 4)
    archived.archive()

    assert len(archived.segments) > 4
    for one in archived.segments:
        assert all(one.first <= answer.position + 1 for answer in read_segment(one).answers)
        assert all(answer.position <= one.last for answer in read_segment(one).answers)
    assert restored(archived, Moment(latest=True)) == answers


def test_an_answer_of_another_timeline_is_in_its_segment(archived: Archived):
    archived.work(10)
    archived.close()
    restore(archived.places, Moment(position=5), version=VERSION, safety=False)
    serve_again(archived)
    archived.work(10)
    answers = answers_of(archived.path)
    archived.archive()

    assert restored(archived, Moment(latest=True)) == answers


def test_an_event_waits_for_its_answer(archived: Archived):
    archived.work(5)
    archived.archive()
    archived.work(5)
    # The archiver was not told of these commits yet: only the log has them.
    told, archived._told = archived._told, len(archived.store.commits)
    archived.archive()
    archived.archiver = archived.new_archiver()
    archived.archive()
    assert told < archived._told
    answers = answers_of(archived.path)

    assert restored(archived, Moment(latest=True)) == answers


def test_what_cannot_be_read_now_is_read_again(archived: Archived, monkeypatch: pytest.MonkeyPatch):
    archived.archive()
    archived.work(5)
    with monkeypatch.context() as patched:
        patched.setattr("ops.archive.archiver.event_lines", _unreadable)
        archived.archive()
    assert not archived.segments
    archived.archive()
    answers = answers_of(archived.path)

    assert restored(archived, Moment(latest=True)) == answers


def _unreadable(*_: object) -> bytes:
    raise TimeoutError


@pytest.mark.parametrize("goes_on", [False, True], ids=["the last segment", "segments behind it"])
def test_an_answer_behind_the_backup_that_changed_nothing_is_remembered(archived: Archived, goes_on: bool):
    archived.store.send(*SAME)
    archived.backup()
    archived.store.send(*SAME, id="changes nothing")
    archived.archive()
    if goes_on:
        archived.store.send("app_state.set", {"key": "k", "value": 1})
        archived.archive()
    answers = answers_of(archived.path)
    assert "changes nothing" in {one.command_id for one in answers}

    assert restored(archived, Moment(latest=True)) == answers


def test_an_answer_before_a_fork_that_changed_nothing_is_remembered(archived: Archived):
    archived.store.send(*SAME)
    archived.archive()
    archived.store.send(*SAME, id="changes nothing")
    archived.store.send("app_state.set", {"key": "k", "value": 1})
    archived.archive()
    archived.close()
    restore(archived.places, Moment(position=1), version=VERSION, safety=False)
    serve_again(archived)
    archived.store.send("app_state.set", {"key": "k", "value": 2})
    archived.archive()
    answers = answers_of(archived.path)
    assert "changes nothing" in {one.command_id for one in answers}

    assert restored(archived, Moment(latest=True)) == answers
