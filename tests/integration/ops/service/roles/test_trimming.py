"""Trimming the log: only messages that the newest proven backup and every live member have are removed."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from bus.log.reader_pool import ReaderPool
from bus.replication.log_stream import LogStream
from bus.transport.jetstream import JetStreamError
from ops.backup.metadata import list_backups, update_metadata
from ops.service.roles.trimming import Trimming
from tests.support.stores.relaying import NAMES
from tests.support.stores.replicated import leading
from tests.support.stores.seeding import Scene, content_of, play, work


async def beginning(scene: Scene) -> int:
    log = await LogStream.there(scene.broker.connection, NAMES)
    assert log is not None
    return (await log.beginning()).position


async def trimmed(scene: Scene, *positions: int, timeline: int = 1) -> int:
    """The number of messages that are removed, with live members at those positions."""

    async def of_members() -> Iterable[int]:
        return positions

    log = await LogStream.there(scene.broker.connection, NAMES)
    assert log is not None
    readers = ReaderPool(scene.leaders)
    try:
        return await Trimming(scene.settings, log, readers, timeline, of_members).trim()
    finally:
        readers.close()


def test_what_the_newest_proven_backup_has_goes_and_a_member_begins_with_that(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            assert await trimmed(scene) == 0
            await asyncio.to_thread(scene.backup)
            assert await trimmed(scene) == 0
            await asyncio.to_thread(scene.backup, proven=True)
            proven = led.store.writer.head.position
            await work(led, 20)
            await asyncio.to_thread(scene.backup)
            assert await trimmed(scene) > 0
            # The backup's last message stays, for the answers that were remembered behind it.
            assert await beginning(scene) == proven - 1
            assert await trimmed(scene) == 0
            await scene.seeded()
            assert scene.content() == led.store.in_writer(content_of)

    play(scenario, tmp_path)


def test_what_a_live_member_lacks_stays(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup, proven=True)
            head = led.store.writer.head.position
            await trimmed(scene, head, 12, head)
            assert await beginning(scene) <= 12
            await trimmed(scene, head)
            assert await beginning(scene) == head - 1

    play(scenario, tmp_path)


def test_the_last_frame_stays_whatever_a_backup_has(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup, proven=True)
            log = await LogStream.there(scene.broker.connection, NAMES)
            assert log is not None
            end = await log.end()
            await log.drop_before(led.store.writer.head.position + 1_000)
            assert (await log.end()).place == end.place

    play(scenario, tmp_path)


def test_a_backup_of_another_history_lets_nothing_go(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup, proven=True)
            assert await trimmed(scene, timeline=2) == 0
            (backup,) = list_backups(scene.settings.backup_folder)
            update_metadata(backup.place, head_hash="00" * 32)
            assert await trimmed(scene) == 0
            update_metadata(backup.place, head_hash=backup.metadata.head_hash, unsound="damaged")
            assert await trimmed(scene) == 0

    play(scenario, tmp_path)


def test_where_the_members_cannot_be_seen_nothing_goes(tmp_path: Path):
    async def unseen() -> Iterable[int]:
        raise JetStreamError("the bucket does not answer")

    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup, proven=True)
            log = await LogStream.there(scene.broker.connection, NAMES)
            assert log is not None
            readers = ReaderPool(scene.leaders)
            with pytest.raises(JetStreamError):
                await Trimming(scene.settings, log, readers, 1, unseen).trim()
            readers.close()
            assert await beginning(scene) == 0

    play(scenario, tmp_path)
