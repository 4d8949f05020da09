"""The archive: it has every commit, damaged segments are refused, and a store can be restored from it."""

import asyncio
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from bus.log import chain
from bus.log.reader_pool import ReaderPool
from hyperpage_client.waiting import is_set_within
from ops.archive import merge as merging
from ops.archive.merge import merge
from ops.archive.reading import read_segment
from ops.archive.replay import reach
from ops.archive.segment import Segment
from ops.archive.verify import verify_archive
from ops.archive.writing import write_segment
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.target import local
from tests.support.patience import until
from tests.support.services.talking import Talk
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, archived_rows, tables_of
from tests.support.stores.looking_inside import answers_by_id, log_of


def rows_of(segments: list[Segment]) -> list[chain.Row]:
    return [row for one in segments for row in read_segment(one).rows]


def test_what_was_committed_is_archived_with_its_answers(archived: Archived):
    answered = dict(archived.work(30))
    archived.archive()
    answered |= archived.work(30)
    archived.archive()

    assert rows_of(archived.segments) == log_of(archived.path)
    assert len(archived.segments) == 2
    remembered = {
        command_id: answer
        for one in archived.segments
        for command_id, _, _, answer in read_segment(one).answers
    }
    assert remembered == answers_by_id(archived.path)
    assert all(answered[command_id].decode() == answer for command_id, answer in remembered.items())
    state = archived.archiver.state
    assert (state.position, state.lag_events, state.problem) == (
        archived.store.writer.head.position,
        0,
        state.problem,
    )


def test_the_archive_goes_on_where_it_was_after_a_restart(archived: Archived):
    archived.work(20)
    archived.archive()
    archived.work(20)
    # The new archiver is told of no commit: it finds them in the store.
    archived.archiver = archived.new_archiver()
    archived._told = len(archived.store.commits)
    archived.archive()

    assert rows_of(archived.segments) == log_of(archived.path)
    answers = {answer[0] for one in archived.segments for answer in read_segment(one).answers}
    assert answers == answers_by_id(archived.path).keys()


def test_an_answer_that_made_no_event_is_archived_too(archived: Archived):
    archived.store.send("app_state.set", {"key": "k", "value": 1}, id="first")
    archived.archive()
    archived.store.send("app_state.set", {"key": "k", "value": 1}, id="the same again")
    archived.archive()

    only = read_segment(archived.segments[-1])
    assert (only.rows, [answer[0] for answer in only.answers]) == ([], ["the same again"])


def test_how_long_an_event_has_waited_for_the_archive_is_known(archived: Archived):
    assert archived.archiver.state.lag_seconds == 0
    archived.work(3)
    for commit in archived.store.commits:
        archived.archiver.notify(commit)
    first = archived.archiver.state.lag_seconds
    assert archived.archiver.state.lag_seconds > first > 0
    archived.archive()
    state = archived.archiver.state
    assert (state.lag_events, state.lag_seconds) == (0, 0)


def test_what_is_left_behind_a_first_segment_has_waited_as_long_as_that(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.archive.archiver.MAXIMUM_EVENTS", 4)
    archived.work(20)
    for commit in archived.store.commits:
        archived.archiver.notify(commit)
    since = archived.archiver._waiting_since

    assert archived.archiver._write_next()
    assert archived.archiver.state.lag_events > 0
    assert archived.archiver._waiting_since == since


def test_a_commit_that_is_notified_once_it_is_archived_does_not_wait(archived: Archived):
    archived.work(3)
    # At a start, the table is read, with what was committed a moment ago.
    asyncio.run(archived.archiver.stop())
    events_alone = msgspec.structs.replace(archived.store.commits[-1], answers=[])
    archived.archiver.notify(events_alone)
    asyncio.run(archived.archiver.stop())

    state = archived.archiver.state
    assert (state.lag_events, state.lag_seconds) == (0, 0)


def test_while_it_runs_the_archive_is_a_second_behind_at_most(archived: Archived):
    async def play() -> None:
        running = asyncio.create_task(archived.archiver.run())
        archived.work(10)
        for commit in archived.store.commits:
            archived.archiver.notify(commit)
        never = asyncio.Event()
        async with asyncio.timeout(20):
            # The archiver clears its problem a moment after the segment is written.
            while (
                archived.archiver.state.position != archived.store.writer.head.position
                or archived.archiver.state.problem is not None
            ):
                await is_set_within(never, 20)
        await archived.archiver.stop()
        await running

    asyncio.run(play())


def test_what_is_committed_while_a_segment_is_written_waits_for_the_next_second(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    def work_and_notify() -> None:
        archived.work(5)
        archived.archiver.notify(archived.store.commits[-1])

    meanwhile = [work_and_notify] * 20

    def write_under_load(*arguments: Any, **options: Any) -> None:
        if meanwhile:
            meanwhile.pop()()
        write_segment(*arguments, **options)

    monkeypatch.setattr("ops.archive.archiver.write_segment", write_under_load)
    # The interval is never over within the test.
    monkeypatch.setattr("ops.archive.archiver.INTERVAL_MS", 3_600_000)

    async def play() -> int:
        work_and_notify()
        running = asyncio.create_task(archived.archiver.run())
        await until(lambda: archived.archiver.state.problem is None)
        written_in_a_second = len(archived.segments)
        meanwhile.clear()
        await archived.archiver.stop()
        await running
        return written_in_a_second

    assert asyncio.run(play()) == 1
    assert rows_of(archived.segments) == log_of(archived.path)


def test_what_fills_more_than_a_segment_is_archived_at_once(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.archive.archiver.MAXIMUM_EVENTS", 4)
    monkeypatch.setattr("ops.archive.archiver.INTERVAL_MS", 3_600_000)
    archived.work(30)

    async def play() -> None:
        running = asyncio.create_task(archived.archiver.run())
        await until(lambda: archived.archiver.state.position == archived.store.writer.head.position)
        await archived.archiver.stop()
        await running

    asyncio.run(play())
    assert len(archived.segments) > 4
    assert rows_of(archived.segments) == log_of(archived.path)


def test_events_go_to_the_archive_while_its_segments_are_merged(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    is_merging, may_end = threading.Event(), threading.Event()

    def slow_merge(*arguments: Any, **options: Any) -> int:
        is_merging.set()
        may_end.wait(60)
        return merge(*arguments, **options)

    monkeypatch.setattr("ops.archive.archiver.merge", slow_merge)
    monkeypatch.setattr("ops.archive.archiver.MERGE_AFTER_SEGMENTS", 1)

    def is_archived() -> bool:
        return archived.archiver.state.position == archived.store.writer.head.position

    async def play() -> None:
        running = asyncio.create_task(archived.archiver.run())
        for _ in range(3):
            archived.work(5)
            archived.archiver.notify(archived.store.commits[-1])
            await until(is_archived)
            assert await asyncio.to_thread(is_merging.wait, 30)
        assert archived.archiver.state.problem is None
        may_end.set()
        await archived.archiver.stop()
        await running

    asyncio.run(play())
    assert rows_of(archived.segments) == log_of(archived.path)


def test_a_service_whose_log_was_set_back_behind_its_archive_says_so(tmp_path: Path):
    with Talk(tmp_path) as talk:
        talk.command("app_state.set", {"key": "k", "value": 1})
        talk.stop()
        older = talk.settings.store_path.read_bytes()
        talk.start()
        talk.command("app_state.set", {"key": "k", "value": 2})
        talk.stop()
        talk.settings.store_path.write_bytes(older)
        # Else the stream of events would show the older store at once.
        shutil.rmtree(tmp_path / "nats")
        talk.start()
        talk.run(until(lambda: "the archive is not kept" in str(talk.service.health.report()["reasons"])))

        assert talk.status["status"] in ("degraded", "unhealthy")


def test_many_small_segments_become_one_with_the_same_content(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(merging, "SMALL_SEGMENTS", 5)
    for _ in range(7):
        archived.work(4)
        archived.archive()
    before = rows_of(archived.segments)
    answers = [answer for one in archived.segments for answer in read_segment(one).answers]

    assert merge(archived.places.archive) == 6

    (segment,) = archived.segments
    content = read_segment(segment)
    assert (content.rows, content.answers) == (before, answers)
    archived.work(4)
    archived.archive()
    assert rows_of(archived.segments) == log_of(archived.path)


def test_a_merge_that_was_cut_off_is_tidied_up(archived: Archived, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(merging, "SMALL_SEGMENTS", 3)
    for _ in range(4):
        archived.work(4)
        archived.archive()
    small = [(one.path, one.path.read_bytes()) for one in archived.segments]
    merge(archived.places.archive)
    for path, content in small:
        path.write_bytes(content)
    merge(archived.places.archive)
    assert len(archived.segments) == 1
    assert rows_of(archived.segments) == log_of(archived.path)


def test_no_bit_of_a_segment_may_flip_and_no_byte_be_cut_off(archived: Archived):
    archived.work(3)
    archived.archive()
    (segment,) = archived.segments
    sound = segment.path.read_bytes()
    flipped = (
        sound[: bit // 8] + bytes([sound[bit // 8] ^ 1 << bit % 8]) + sound[bit // 8 + 1 :]
        for bit in range(0, 8 * len(sound), 5)
    )
    for content in (
        *flipped,
        *(sound[:size] for size in range(len(sound) - 60, len(sound))),
        sound + b"\0",
        sound * 2,
    ):
        segment.path.write_bytes(content)
        with pytest.raises(BackupError, match="SHA-256 does not fit") as caught:
            read_segment(segment)
        assert caught.value.reason == "segment_damaged"
    segment.path.write_bytes(sound)
    read_segment(segment)


def test_a_segment_can_be_read_by_any_program_for_zstd(archived: Archived):
    archived.work(3)
    archived.archive()
    (segment,) = archived.segments
    reader = zstandard.ZstdDecompressor().stream_reader(segment.path.read_bytes(), read_across_frames=True)
    header, *lines = [msgspec.json.decode(line) for line in reader.read().splitlines()]
    assert header["first"] == 1
    assert [line[0] for line in lines[: header["last"]]] == [*range(1, header["last"] + 1)]


def test_a_segment_under_another_name_is_refused(archived: Archived):
    archived.work(20)
    archived.archive()
    (segment,) = archived.segments
    other = segment.path.with_name("events-000000000001-000000000002.jsonl.zst")
    segment.path.rename(other)
    with pytest.raises(BackupError, match="is another one"):
        read_segment(archived.segments[0])


def test_the_archive_of_another_store_is_not_written_to(archived: Archived, tmp_path: Path):
    archived.work(10)
    archived.archive()
    other = Archived(tmp_path / "other")
    other.work(10)
    shutil.copytree(local(archived.places.archive), local(other.places.archive))
    before = [one.path.read_bytes() for one in other.segments]
    with other.readers.connection() as connection, pytest.raises(BackupError) as caught:
        other.archiver._find_place(connection)
    assert caught.value.reason == "foreign"
    other.archive()
    assert [one.path.read_bytes() for one in other.segments] == before
    other.close()


def test_a_store_comes_back_from_a_backup_and_the_archive(archived: Archived, tmp_path: Path):
    archived.work(40)
    archived.backup()
    archived.archive()
    answered = archived.work(40)
    archived.archive()
    head = archived.store.writer.head.position
    rows, tables = log_of(archived.path, head), tables_of(archived.path)
    archived.close()
    # The disk is gone; backups and archive were on another one.
    for leftover in archived.path.parent.glob("hyperpage.db*"):
        leftover.unlink()

    done = restore(archived.places, Moment(position=head), version=VERSION)

    assert (done.position, done.timeline, done.safety_backup) == (head, 2, None)
    assert done.segments > 0
    assert log_of(archived.path, head) == rows
    # The tables are equal; leases are not compared, since a restored store has none.
    assert {name: tables_of(archived.path)[name] for name in tables} == tables
    assert verify(archived.path)["equal"]
    archived.reopen()
    remembered = answers_by_id(archived.path)
    for command_id, answer in answered:
        if command_id in remembered:
            assert remembered[command_id].encode() == answer


@pytest.mark.parametrize("merged", [False, True], ids=["small segments", "merged segments"])
@pytest.mark.parametrize("with_backup", [True, False], ids=["a backup and the archive", "the archive alone"])
def test_a_command_that_changed_nothing_after_the_last_event_is_remembered_too(
    archived: Archived, monkeypatch: pytest.MonkeyPatch, with_backup: bool, merged: bool
):
    same = ("tool_configs.set", {"tool_name": "github", "config": {"n": 1}})
    archived.store.send(*same)
    archived.archive()
    if with_backup:
        archived.backup()
    asked = archived.store.send(*same, id="changes nothing").body
    archived.archive()
    archived.store.send("app_state.set", {"key": "k", "value": 1})
    archived.archive()
    if merged:
        monkeypatch.setattr(merging, "SMALL_SEGMENTS", 2)
        assert merge(archived.places.archive) > 0
    archived.close()
    for leftover in archived.path.parent.glob("hyperpage.db*"):
        leftover.unlink()

    done = restore(archived.places, Moment(position=1), version=VERSION)

    assert (done.position, done.backup == "nothing") == (1, not with_backup)
    again = archived.reopen().send(*same, id="changes nothing")
    assert again.body == asked


def test_a_damaged_segment_behind_the_moment_is_no_obstacle(archived: Archived):
    archived.work(10)
    archived.archive()
    backup = archived.backup()
    archived.work(10)
    archived.archive()
    newest = archived.segments[-1]
    local(newest.place).write_bytes(b"damaged")
    archived.close()
    archived.path.unlink()

    done = restore(archived.places, Moment(position=backup.metadata.position), version=VERSION)

    assert done.position == backup.metadata.position
    archived.reopen()


def test_a_store_comes_back_from_the_archive_alone(archived: Archived):
    archived.work(40)
    archived.archive()
    head = archived.store.writer.head.position
    rows = log_of(archived.path, head)
    archived.close()
    for leftover in archived.path.parent.glob("hyperpage.db*"):
        leftover.unlink()

    chance = random.Random(3)
    for position in (head, chance.randint(1, head), chance.randint(1, head)):
        archived.path.unlink(missing_ok=True)
        plan = plan_restore(archived.places, Moment(position=position))
        assert (plan.position, plan.backup, plan.events_lost) == (position, "nothing", None)
        done = restore(archived.places, Moment(position=position), version=VERSION)
        assert done.backup == "nothing"
        assert log_of(archived.path, position) == rows[:position]
        assert verify(archived.path)["equal"]
    moment = rows[head // 2].recorded_at
    archived.path.unlink()
    by_time = restore(archived.places, Moment(time=moment), version=VERSION)
    assert by_time.position == max(row.position for row in rows if row.recorded_at <= moment)
    archived.reopen()


def test_the_archive_follows_a_restore_into_its_timeline(archived: Archived):
    archived.work(30)
    archived.archive()
    given_up = archived.store.writer.head.position
    archived.close()
    restore(archived.places, Moment(position=5), version=VERSION)
    archived.reopen()
    archived.readers = ReaderPool(archived.path)
    archived.archiver = archived.new_archiver()
    archived._told = 0
    archived.work(20)
    archived.archive()
    head = archived.store.writer.head.position
    rows = log_of(archived.path, head)
    archived.close()
    archived.path.unlink()
    shutil.rmtree(local(archived.places.backups))

    done = restore(archived.places, Moment(position=head), version=VERSION)

    assert (done.position, done.timeline) == (head, 3)
    assert log_of(archived.path, head) == rows
    assert {one.timeline for one in archived.segments} == {1, 2}
    assert max(one.last for one in archived.segments if one.timeline == 1) == given_up
    archived.reopen()


def test_a_gap_in_the_archive_is_told(archived: Archived):
    for _ in range(3):
        archived.work(10)
        archived.archive()
    archived.segments[1].path.unlink()
    archived.close()
    archived.path.unlink()
    with pytest.raises(BackupError, match="lacks event") as caught:
        restore(archived.places, Moment(position=archived.segments[-1].last), version=VERSION)
    assert caught.value.reason == "unreachable_moment"
    done = restore(archived.places, Moment(position=archived.segments[0].last), version=VERSION)
    assert done.position == archived.segments[0].last
    archived.reopen()


def test_a_damaged_segment_is_told_with_the_last_position_that_can_be_had_without_it(archived: Archived):
    archived.work(20)
    archived.backup()
    for _ in range(3):
        archived.work(5)
        archived.archive()
    reached, last = (one.last for one in archived.segments[-2:])
    place = local(archived.segments[-1].place)
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    archived.close()
    archived.path.unlink()
    for tried in (
        lambda: plan_restore(archived.places, Moment(position=last), check=True),
        lambda: restore(archived.places, Moment(position=last), version=VERSION),
    ):
        with pytest.raises(BackupError) as caught:
            tried()
        assert caught.value.reason == "segment_damaged"
        assert caught.value.hint.endswith(f"--to-position {reached}")
    # A restore to the latest moment goes as far as it can, and names what is missing.
    planned = plan_restore(archived.places, Moment(latest=True), check=True)
    done = restore(archived.places, Moment(latest=True), version=VERSION)
    assert (planned.position, done.position, reached < last) == (reached, reached, True)
    assert planned.passed_over == done.passed_over
    assert "SHA-256" in done.passed_over[str(place)]
    assert f"event {reached + 1} is nowhere to be had" in done.passed_over[str(archived.places.archive)]
    archived.reopen()


def test_a_backup_can_be_restored_by_its_name_whatever_the_archive_is_like(archived: Archived):
    archived.work(20)
    archived.archive()
    backup = archived.backup()
    for one in archived.segments:
        local(one.place).write_bytes(b"nothing")
    archived.close()
    planned = plan_restore(archived.places, Moment(latest=True), check=True)
    assert (planned.backup, planned.position) == (str(backup.place), backup.metadata.position)
    assert "SHA-256" in planned.passed_over[str(archived.places.archive)]
    # Events that the store itself has need no archive.
    assert plan_restore(archived.places, Moment(position=5), check=True).position == 5
    done = restore(archived.places, Moment(backup=backup.name), version=VERSION)
    assert (done.position, done.timeline) == (backup.metadata.position, 2)
    archived.reopen()


def test_what_a_backup_has_needs_no_archive_unless_that_may_have_gone_on(archived: Archived):
    archived.work(20)
    archived.archive()
    backup = archived.backup()
    time = log_of(archived.path, 5)[-1].recorded_at
    archived.work(20)
    archived.close()
    archived.path.unlink()
    content = [(local(one.place), local(one.place).read_bytes()) for one in archived.segments]
    for place, _ in content:
        place.write_bytes(b"nothing")
    moments = (Moment(position=5), Moment(time=time))
    for moment in moments:
        planned = plan_restore(archived.places, moment, check=True)
        assert (planned.backup, planned.position >= 5) == (str(backup.place), True)
    assert restore(archived.places, moments[0], version=VERSION).position == 5

    # The segment's name shows that there were more events, and nothing tells of which timeline.
    last = backup.metadata.position + 1
    content[0][0].with_name(f"events-{last:012}-{last:012}.jsonl.zst").write_bytes(b"nothing")
    archived.path.unlink()
    for moment in moments:
        with pytest.raises(BackupError, match="SHA-256"):
            restore(archived.places, moment, version=VERSION)
    archived.reopen()


def test_the_latest_of_a_restored_store_is_its_own_though_the_archive_goes_on_otherwise(archived: Archived):
    archived.work(20)
    archived.archive()
    archived.close()
    restore(archived.places, Moment(position=5), version=VERSION, safety=False)
    archived.reopen()
    archived.work(5)
    kept = log_of(archived.path)
    archived.close()

    planned = plan_restore(archived.places, Moment(latest=True), check=True)
    done = restore(archived.places, Moment(latest=True), version=VERSION, safety=False)

    assert (planned.position, planned.timeline) == (done.position, done.timeline) == (kept[-1].position, 3)
    assert log_of(archived.path)[:-1] == kept
    archived.reopen()


def test_what_is_damaged_or_missing_is_found_and_written_anew_from_the_log(archived: Archived):
    for _ in range(4):
        archived.work(8)
        archived.archive()
    assert verify_archive(archived.places.archive).is_sound
    first, second, third, *_ = archived.segments

    place = local(second.place)
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert list(verify_archive(archived.places.archive).damage) == [second.name]
    place.unlink()
    (missing,) = verify_archive(archived.places.archive).damage.values()
    assert f"event {second.first} of timeline 1 is missing" == missing
    # Two segments that are sound by themselves, and do not follow from each other.
    place.write_bytes(content)
    header = read_segment(third).header
    forged = msgspec.structs.replace(header, previous_hash=read_segment(first).header.previous_hash)
    monkey = local(third.place).read_bytes()
    write_segment(third.place, forged, [])
    assert third.name in verify_archive(archived.places.archive).damage
    local(third.place).write_bytes(monkey)

    place.unlink()
    archived.archiver = archived.new_archiver()
    archived.archive()
    assert verify_archive(archived.places.archive).is_sound
    found = reach(archived.places.archive)
    assert found is not None
    assert list(archived_rows(archived.places.archive, found[1])) == log_of(archived.path)


def test_a_forged_event_in_a_segment_is_found_by_the_chain(archived: Archived, monkeypatch: Any):
    archived.work(10)
    archived.archive()
    (segment,) = archived.segments
    content = read_segment(segment)
    forged = [*content.rows]
    forged[3] = msgspec.structs.replace(forged[3], data='{"forged":1}')
    from ops.archive.writing import row_lines, write_segment

    write_segment(segment.path, content.header, row_lines(forged), content.answers)
    with pytest.raises(BackupError) as caught:
        read_segment(segment)
    assert caught.value.reason == "chain_broken"
