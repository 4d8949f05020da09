"""Measuring the parts of a real store, its backups and its archive."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from migrations.connection import open_reader
from ops.backup.create import create_backup
from ops.health import room, store
from ops.health.room import KEPT_FILE, Room, RoomWatch
from ops.settings import Settings
from tests.support.clock import NOW, Clock
from tests.support.stores.backing_up import VERSION, Stored

DAY_MS = 86_400_000


def measured(settings: Settings, clock: Clock) -> Room:
    watch = RoomWatch(settings, now_ms=clock, streams=lambda: {"stream S": 5})
    asyncio.run(watch.measure())
    return watch.state


def test_the_parts_of_a_store_are_all_of_it_and_growth_is_known_after_a_restart(tmp_path: Path):
    settings, clock = Settings(data=tmp_path / "data"), Clock(NOW)
    with closing(Stored(settings.data)) as stored:
        stored.work(200)
        create_backup(stored.path, settings.data / "backups", version=VERSION)
        found = measured(settings, clock)
        sizes = {one.part: one.size_bytes for one in found.parts}
        with closing(open_reader(stored.path)) as connection:
            pages, page_bytes = connection.pragma("page_count"), connection.pragma("page_size")
        elsewhere = ("WAL", "backups", "archive", "stream S")
        in_store = sum(size for part, size in sizes.items() if part not in elsewhere)
        assert in_store == pages * page_bytes
        assert min(sizes["events"], sizes["indexes of events"], sizes["command_answers"]) >= page_bytes
        assert sizes["backups"] >= in_store
        assert (sizes["archive"], sizes["stream S"]) == (0, 5)
        assert {one.growth_bytes_a_day for one in found.parts} == {None}

        stored.work(400)
        clock.now += DAY_MS
        grown = {one.part: one for one in measured(settings, clock).parts}
        events = grown["events"]
        assert events.growth_bytes_a_day == events.size_bytes - sizes["events"] > 0
        assert grown["backups"].growth_bytes_a_day == 0


def test_what_takes_too_long_is_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings, clock = Settings(data=tmp_path / "data"), Clock(NOW)
    with closing(Stored(settings.data)) as stored:
        stored.work(50)
        whole = {one.part: one.size_bytes for one in measured(settings, clock).parts}
        in_time = RoomWatch._table

        def table(self: RoomWatch, name: str) -> dict[str, int]:
            with monkeypatch.context() as hurried:
                hurried.setattr(store, "STEPS", 1)
                hurried.setattr(room, "TABLE_SECONDS", -1.0 if name == "events" else 60.0)
                return in_time(self, name)

        monkeypatch.setattr(RoomWatch, "_table", table)
        clock.now += DAY_MS
        left = {one.part: one.size_bytes for one in measured(settings, clock).parts}
        assert left["events"] == whole["events"] + whole["indexes of events"]
        assert "indexes of events" not in left


def test_what_was_kept_by_a_clock_that_was_ahead_or_is_damaged_is_worth_nothing(tmp_path: Path):
    settings, clock = Settings(data=tmp_path / "data"), Clock(NOW)
    with closing(Stored(settings.data)) as stored:
        stored.work(20)
        measured(settings, Clock(NOW + 9 * DAY_MS))
        assert {one.growth_bytes_a_day for one in measured(settings, clock).parts} == {None}
        (settings.data / KEPT_FILE).write_bytes(b"[{]")
        clock.now += DAY_MS
        assert {one.growth_bytes_a_day for one in measured(settings, clock).parts} == {None}


def test_a_service_that_is_started_again_soon_has_what_was_measured_and_measures_later(tmp_path: Path):
    settings, clock = Settings(data=tmp_path / "data"), Clock(NOW)
    with closing(Stored(settings.data)) as stored:
        stored.work(20)
        before = measured(settings, clock)
        clock.now += 600_000
        again = RoomWatch(settings, now_ms=clock, streams=dict)
        assert again._due_in_seconds() == 3_000
        assert again.state == before
        clock.now -= 3_600_000
        assert RoomWatch(settings, now_ms=clock, streams=dict)._due_in_seconds() == 0
