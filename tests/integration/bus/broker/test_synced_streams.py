"""Files that nats-server does not sync itself are synced: a stream's description, and its last writes."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bus.broker.child import NatsChild
from tests.support.patience import until
from tests.support.services.talking import Talk
from tests.support.stores.relaying import bus_in, relayed

STREAMS = "nats/jetstream/STREAMS/streams"


class Synced:
    """The paths that were synced in this process, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[Path] = []
        self.inodes: set[int] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._note)

    def _note(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        self.inodes.add(os.fstat(descriptor).st_ino)

    def has(self, path: Path) -> bool:
        """Whether the file that is at the path now was synced; one that replaced it has another inode."""
        return path.exists() and path.stat().st_ino in self.inodes


def test_streams_are_on_disk_before_a_service_serves_and_soon_after_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced = Synced(monkeypatch)
    with Talk(tmp_path) as talk:
        streams = list((tmp_path / STREAMS).iterdir())
        assert len(streams) == 6
        on_the_way = [one for one in (tmp_path / STREAMS).parents if tmp_path / "nats" in one.parents]
        assert set(synced.paths) >= {
            tmp_path / "nats",
            *on_the_way,
            tmp_path / STREAMS,
            *(stream / name for stream in streams for name in (".", "meta.inf", "meta.sum")),
        }

        events = tmp_path / STREAMS / "HYPERPAGE_EVENTS"
        talk.administer("stream.refill")
        synced.inodes.clear()
        talk.run(until(lambda: all(map(synced.has, (events, events / "meta.inf", events / "meta.sum")))))


def test_what_a_server_that_was_killed_wrote_last_is_on_disk_before_the_next_one_begins_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced = Synced(monkeypatch)
    were_there: list[bool] = []
    spawn = NatsChild.spawn

    async def note_and_spawn(*arguments: Any, **named: Any) -> NatsChild:
        were_there.append(synced.has(block))
        return await spawn(*arguments, **named)

    monkeypatch.setattr(NatsChild, "spawn", note_and_spawn)
    block = tmp_path / STREAMS / "HYPERPAGE_EVENTS" / "msgs" / "1.blk"

    async def scenario() -> None:
        async with bus_in(tmp_path) as (broker, store):
            store.append(3)
            await relayed(broker, store)
            assert block.exists()
            await broker.kill()
            synced.inodes.clear()
        were_there.append(synced.has(block))

    asyncio.run(scenario())
    assert were_there == [False, True, True]
