"""Backups by the clock: they are made, proven and pruned, and what fails is told."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ops.backup.drill import drill
from ops.backup.metadata import Backup, list_backups, metadata_path, update_metadata
from ops.backup.retention import remove
from ops.backup.schedule import (
    DAY_MS,
    FIRST_AFTER_MS,
    VERIFY_ARCHIVE_AFTER_MS,
    VERIFY_ARCHIVE_FIRST_AFTER_MS,
    BackupSchedule,
)
from ops.backup.verify import verify_by_routine
from ops.settings import Settings
from ops.targets.errors import BackupError
from tests.support.stores.backing_up import Stored


class Scheduled:
    """A schedule over a store, a clock that is moved by hand, and what was told."""

    def __init__(self, stored: Stored, **settings: Any) -> None:
        self.now = stored.clock.now
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.settings = Settings(data=stored.path.parent, **settings)
        self.schedule = BackupSchedule(
            self.settings, stored.store.origin.store_id, notify=self._notify, clock=lambda: self.now
        )

    async def _notify(self, change: str, what: dict[str, Any]) -> None:
        self.told.append((change, what))

    async def look(self, later_ms: int = 0) -> list[str]:
        """The notices that a look some time later leads to."""
        self.now += later_ms
        self.told.clear()
        await self.schedule.do_what_is_due()
        return [change for change, _ in self.told]

    async def failure(self) -> str:
        """The problem that a look finds."""
        await self.look()
        return self.schedule.state.failure or ""


def play(tmp_path: Path, scenario: Any, **settings: Any) -> None:
    stored = Stored(tmp_path)
    stored.work(10)
    # The commands that the schedule runs use the real clock.
    stored.clock.now = time.time_ns() // 1_000_000
    try:
        asyncio.run(scenario(Scheduled(stored, **settings), stored))
    finally:
        stored.close()


def test_a_backup_is_made_and_proven_when_it_is_due(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        assert await scheduled.look() == []
        assert await scheduled.look(FIRST_AFTER_MS) == ["started", "completed", "verified"]
        (backup,) = list_backups(stored.folder)
        assert backup.metadata.status == "proven"
        assert scheduled.told[1][1]["metadata"]["position"] == backup.metadata.position
        state = scheduled.schedule.state
        assert (state.last, state.last_proven, state.failure, state.stale) == (
            backup.name,
            backup.name,
            None,
            False,
        )
        assert await scheduled.look(30 * 60_000) == []
        assert await scheduled.look(60 * 60_000) == ["started", "completed"]
        assert scheduled.schedule.state.count == 2

    play(tmp_path, scenario)


def test_the_newest_are_verified_again_each_day(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        stored.backup()
        assert await scheduled.look(DAY_MS) == ["verified"]
        # The command notes the real time, which is a day behind the schedule's clock.
        (backup,) = list_backups(stored.folder)
        assert backup.metadata.last_verified >= stored.clock.now

    play(tmp_path, scenario, backup_interval_minutes=3 * 24 * 60, backup_drill_hours=0)


def test_what_fails_is_told_and_tried_again_later(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        # A file where the folder should be.
        stored.folder.write_text("in the way")
        assert await scheduled.look(FIRST_AFTER_MS) == ["started", "failed"]
        assert "backup create failed" in (scheduled.schedule.state.failure or "")
        assert await scheduled.look(60_000) == []
        stored.folder.unlink()
        assert (await scheduled.look(5 * 60_000))[:2] == ["started", "completed"]
        assert scheduled.schedule.state.failure is None

    play(tmp_path, scenario)


def test_a_damaged_backup_is_told_once(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        backup = stored.backup()
        content = backup.path.read_bytes()
        backup.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert await scheduled.look() == ["failed"]
        assert "SHA-256" in (scheduled.schedule.state.failure or "")
        assert await scheduled.look() == []

    play(tmp_path, scenario)


def test_without_an_interval_none_is_made(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        assert await scheduled.look(10 * DAY_MS) == []
        assert not scheduled.schedule.state.stale

    play(tmp_path, scenario, backup_interval_minutes=0, backup_drill_hours=0)


def test_a_missing_backup_makes_it_stale(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        assert not scheduled.schedule.state.stale
        scheduled.now += 121 * 60_000
        assert scheduled.schedule.state.stale

    play(tmp_path, scenario)


def test_a_damaged_backup_is_told_until_it_is_gone(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        stored.backup()
        damaged = stored.backup()
        content = damaged.path.read_bytes()
        damaged.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert await scheduled.look(DAY_MS) == ["failed"]
        # The other backup is verified, and is sound.
        assert await scheduled.look() == ["verified"]
        assert "SHA-256" in (scheduled.schedule.state.failure or "")
        remove(damaged)
        assert scheduled.schedule.state.failure is None

    play(tmp_path, scenario, backup_interval_minutes=3 * 24 * 60, backup_drill_hours=24)


def test_a_backup_from_the_future_does_not_stop_the_others(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        stored.clock.now += 30 * DAY_MS
        stored.backup()
        assert (await scheduled.look(FIRST_AFTER_MS))[:2] == ["started", "completed"]

    play(tmp_path, scenario)


def test_a_folder_that_cannot_be_read_is_told_and_ends_nothing(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        backup = stored.backup()
        # A folder where a file should be.
        metadata_path(backup.path).unlink()
        metadata_path(backup.path).mkdir()
        assert await scheduled.look() == []
        assert scheduled.schedule.state.count == 0

    play(tmp_path, scenario)


def spoil(backup: Backup) -> None:
    content = backup.path.read_bytes()
    backup.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_what_others_make_and_find_is_told_too(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        stored.backup()
        # A backup from before the schedule began is no news.
        assert await scheduled.look() == []
        other = stored.backup()
        assert await scheduled.look() == ["completed"]
        stored.clock.now += 1
        drill(other.path, now_ms=stored.clock.now + 1)
        assert await scheduled.look() == ["verified"]
        spoil(other)
        with pytest.raises(BackupError):
            verify_by_routine(other.path, None, lambda *_: None)
        assert await scheduled.look() == ["failed"]
        assert "checksum_differs" in (scheduled.schedule.state.failure or "")
        assert await scheduled.look() == []
        remove(other)
        assert await scheduled.look() == []
        assert scheduled.schedule.state.failure is None

    play(tmp_path, scenario, backup_interval_minutes=3 * 24 * 60, backup_drill_hours=0)


def test_the_newest_that_is_sound_is_proven(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        sound, damaged = stored.backup(), stored.backup()
        update_metadata(damaged.path, unsound="checksum_differs")
        assert await scheduled.look() == ["verified"]
        assert scheduled.schedule.state.last_proven == sound.name

    play(tmp_path, scenario)


def test_metadata_that_is_lost_or_damaged_is_told_until_the_file_is_gone(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        stored.backup()
        lost, damaged = stored.backup(), stored.backup()
        metadata_path(lost.path).unlink()
        # The first look says nothing: the metadata may be about to be written.
        assert await scheduled.failure() == ""
        assert "has no" in await scheduled.failure()
        lost.path.unlink()
        assert await scheduled.failure() == ""
        metadata_path(damaged.path).write_text("{}")
        assert damaged.name in await scheduled.failure()
        assert scheduled.schedule.state.count == 1

    play(tmp_path, scenario, backup_interval_minutes=3 * 24 * 60, backup_drill_hours=0)


def test_pruning_that_fails_is_told(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        # With a segment that cannot be read, it is not known which backups the archive needs.
        segment = stored.places.archive / "timeline-0001" / "events-000000000005-000000000009.jsonl.zst"
        assert isinstance(segment, Path)
        segment.parent.mkdir(parents=True)
        segment.write_bytes(b"nothing")
        assert (await scheduled.look(FIRST_AFTER_MS))[:3] == ["started", "completed", "failed"]
        assert scheduled.told[2][1]["what"] == "prune"
        assert "backup prune failed" in (scheduled.schedule.state.failure or "")
        assert len(list_backups(stored.folder)) == 1

    play(tmp_path, scenario)


def test_damage_in_the_archive_is_found_once_a_week(tmp_path: Path):
    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        assert await scheduled.look(VERIFY_ARCHIVE_FIRST_AFTER_MS) == []
        assert await scheduled.failure() == ""
        segment = stored.places.archive / "timeline-0001" / "events-000000000001-000000000009.jsonl.zst"
        assert isinstance(segment, Path)
        segment.parent.mkdir(parents=True)
        segment.write_bytes(b"nothing")
        assert await scheduled.look(VERIFY_ARCHIVE_AFTER_MS - 1) == []
        assert await scheduled.look(1) == ["failed"]
        assert segment.name in (scheduled.schedule.state.failure or "")
        segment.unlink()
        assert await scheduled.look(VERIFY_ARCHIVE_AFTER_MS) == []
        assert scheduled.schedule.state.failure is None

    play(tmp_path, scenario, backup_interval_minutes=0, backup_drill_hours=0)


def test_the_health_reads_the_backups_again_only_when_one_is_new_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    listings = 0

    def counted(*arguments: Any) -> list[Backup]:
        nonlocal listings
        listings += 1
        return list_backups(*arguments)

    monkeypatch.setattr("ops.backup.schedule.list_backups", counted)

    async def scenario(scheduled: Scheduled, stored: Stored) -> None:
        first = stored.backup()
        os.utime(stored.folder, (1, 1))
        assert [scheduled.schedule.state.count for _ in range(5)] == [1] * 5
        assert listings == 1
        stored.backup()
        assert scheduled.schedule.state.count == 2
        remove(first)
        assert scheduled.schedule.state.count == 1

    play(tmp_path, scenario)
