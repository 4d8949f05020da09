"""Members that reach no backup of each other's find the leader's newest proven one on the nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.broker import accounts
from bus.log.reader_pool import ReaderPool
from bus.replication.cluster_bucket import AnotherStoresClusterError
from bus.replication.log_stream import LogStream
from bus.replication.shared_backup import SharedBackups
from bus.transport.jetstream import JetStreamError
from ops.backup.create import create_backup
from ops.backup.drill import prove
from ops.backup.metadata import list_backups, metadata_path, update_metadata
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.service.errors import ServiceError
from ops.service.roles import seeding
from ops.service.roles.seeding import seeded
from ops.service.roles.sharing import Sharing, sharing_trouble
from ops.service.roles.trimming import Trimming
from ops.settings import Settings
from tests.support.stores.relaying import NAMES
from tests.support.stores.replicated import Led, leading
from tests.support.stores.seeding import Scene, content_of, play, work

STREAM = "OBJ_hyperpage_backups"


def alone(data: Path, **settings: Any) -> Settings:
    """The settings of a member whose backups no other member reaches."""
    return Settings(data=data, replication="sync", replication_replicas=1, **settings)


class Leader:
    """A leader whose backups are its own, and a member that has none."""

    def __init__(self, scene: Scene, led: Led, readers: ReaderPool, log: LogStream) -> None:
        self.scene = scene
        self.led = led
        self.readers = readers
        self.log = log
        self.settings = alone(scene.leaders.parent)
        self.member = alone(scene.settings.data)
        self.shared = SharedBackups(scene.broker.connection, NAMES, log.store_id)

    @property
    def position(self) -> int:
        return self.led.store.writer.head.position

    async def backup(self, *, proven: bool = True) -> None:
        await asyncio.to_thread(
            create_backup,
            self.scene.leaders,
            self.settings.backup_folder,
            version="0",
            prove=prove if proven else None,
        )

    def sharing(self, timeline: int = 1, **settings: Any) -> Sharing:
        changed = msgspec.structs.replace(self.settings, **settings)
        return Sharing(changed, self.log, self.shared, self.readers, timeline, sharing_trouble())

    async def trim(self, one: Sharing | None = None) -> int:
        async def nobody() -> Iterable[int]:
            return []

        one = one or self.sharing()
        return await Trimming(self.settings, self.log, self.readers, 1, nobody, one).trim()

    async def seeded(self) -> None:
        await seeded(self.member, self.scene.broker.connection, may_lead=True)

    def require_same(self) -> None:
        assert self.scene.content() == self.led.store.in_writer(content_of)

    async def there(self) -> int | None:
        """The size of the newest shared backup."""
        found = await self.shared.newest()
        return None if found is None else found.size


@asynccontextmanager
async def leader_of(scene: Scene, first: int = 1) -> AsyncIterator[Leader]:
    async with leading(scene.broker, scene.leaders) as led:
        await work(led, first)
        log = await LogStream.there(scene.broker.connection, NAMES)
        assert log is not None
        readers = ReaderPool(scene.leaders)
        try:
            yield Leader(scene, led, readers, log)
        finally:
            readers.close()


def test_what_the_shared_backup_has_goes_and_a_member_begins_with_it(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            assert await leader.trim() == 0
            await leader.backup(proven=False)
            assert await leader.trim() == 0
            await leader.backup()
            await work(leader.led, 20)
            assert await leader.trim() > 0
            assert await leader.trim() == 0
            assert (await leader.log.beginning()).position > 0
            await leader.seeded()
            leader.require_same()
            (received,) = list_backups(leader.member.backup_folder)
            assert received.status == "proven"
            # The next backup takes the place of the shared one.
            await leader.backup()
            before = await leader.shared.newest()
            assert await leader.trim() > 0
            after = await leader.shared.newest()
            assert before is not None
            assert after is not None
            assert before.name < after.name
            report = await scene.broker.api.report_with(STREAM, "$O.hyperpage_backups.>")
            assert report is not None
            assert len(report.state.subjects) == 2
            # A member that fell too far behind begins with the shared backup, too.
            await leader.seeded()
            leader.require_same()

    play(scenario, tmp_path)


def test_what_was_begun_to_be_put_there_and_never_ended_goes_with_the_next_one(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.shared.prepare(1)
            await scene.broker.api.store("$O.hyperpage_backups.C.left", b"begun", {})
            await leader.backup()
            assert await leader.trim() > 0
            report = await scene.broker.api.report_with(STREAM, "$O.hyperpage_backups.>")
            assert report is not None
            assert "$O.hyperpage_backups.C.left" not in report.state.subjects

    play(scenario, tmp_path)


def test_where_new_members_could_begin_with_nothing_a_backup_is_made_at_once(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            # As in a log that a store began which had been alone, or was restored.
            await scene.cut(leader.position)
            one = leader.sharing()
            made = await one.share()
            assert made is not None
            assert made.status == "proven"
            await leader.seeded()
            leader.require_same()

    play(scenario, tmp_path)


def test_one_that_is_too_large_stays_away_and_so_does_what_the_log_has(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            (backup,) = list_backups(leader.settings.backup_folder)
            update_metadata(backup.place, size=2 * 1024 * 1024)
            one = leader.sharing(replication_backup_mib=1)
            assert await leader.trim(one) == 0
            assert "has 2 MiB, and 1 may be there" in str(one.trouble.problem)
            assert await leader.there() is None

    play(scenario, tmp_path)


def test_encrypted_ones_stay_away(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            (backup,) = list_backups(leader.settings.backup_folder)
            update_metadata(backup.place, recipients=("age1x",))
            await scene.cut(leader.position)
            one = leader.sharing(encrypt_to=("age1x",))
            assert await leader.trim(one) == 0
            assert "encrypted" in str(one.trouble.problem)
            assert await leader.there() is None

    play(scenario, tmp_path)


def test_where_there_is_no_room_the_one_before_stays_and_so_does_what_the_log_has(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            await leader.trim()
            size = await leader.there()
            assert size is not None
            report = await scene.broker.api.report(STREAM)
            assert report is not None
            # An operator has limited the stream by hand.
            await scene.broker.api.update(report.config | {"max_bytes": report.state.bytes + size // 2})
            await work(leader.led, 20)
            await leader.backup()
            began = await leader.log.beginning()
            one = leader.sharing()
            with pytest.raises(JetStreamError, match="maximum bytes exceeded"):
                await leader.trim(one)
            assert "room" in str(one.trouble.repair)
            assert await leader.log.beginning() == began
            # No new try at once, since a try takes room that others need; the problem is still reported.
            assert await leader.trim(one) == 0
            assert one.trouble.problem is not None
            await leader.seeded()
            leader.require_same()

    play(scenario, tmp_path)


def test_what_is_gone_or_has_lost_a_part_is_put_there_again(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            await leader.trim()
            size = await leader.there()
            await scene.broker.purge(STREAM, filter="$O.hyperpage_backups.C.>", keep=1)
            assert await leader.there() is None
            await leader.trim()
            assert await leader.there() == size
            await scene.broker.api.delete(STREAM)
            assert await leader.there() is None
            await leader.trim()
            assert await leader.there() == size

    play(scenario, tmp_path)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_one_that_came_half_or_is_damaged_since_comes_again(tmp_path: Path, is_damaged: bool):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            await work(leader.led, 20)
            assert await leader.trim() > 0
            found = await leader.shared.newest()
            assert found is not None
            half = leader.member.data / "backups" / found.name
            half.parent.mkdir(parents=True)
            half.write_bytes(b"the beginning of it")
            if is_damaged:
                metadata_path(half).write_text(found.metadata, encoding="utf-8")
            await leader.seeded()
            leader.require_same()
            (received,) = list_backups(leader.member.backup_folder)
            assert received.status == "proven"

    play(scenario, tmp_path)


def test_one_that_is_not_what_was_put_there_is_not_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seeding, "SOURCE_WITHIN_SECONDS", 0)

    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            await leader.trim()
            found = await leader.shared.newest()
            assert found is not None
            await scene.broker.purge(STREAM, filter=found.content)
            for _ in range(-(-found.size // 131_072)):
                await scene.broker.api.store(found.content, b"another one's", {})
            with pytest.raises(ServiceError, match="is not what was put there") as refused:
                await leader.seeded()
            assert STREAM in refused.value.hint
            assert not [*leader.member.data.rglob("*backup*.db*")]

    play(scenario, tmp_path)


def test_rights_of_before_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish, subscribe = accounts._rights_of_relay(NAMES)
    before = [one for one in publish if not one.startswith("$O.")], subscribe
    monkeypatch.setattr(accounts, "_rights_of_relay", lambda _: before)

    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            one = leader.sharing()
            with pytest.raises(JetStreamError, match="permissions violation"):
                await leader.trim(one)
            assert "`hyperpage nats-config`" in str(one.trouble.repair)

    play(scenario, tmp_path)


def test_one_of_another_store_is_neither_taken_nor_replaced(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await SharedBackups(scene.broker.connection, NAMES, "theirs").prepare(1)
            await leader.backup()
            one = leader.sharing()
            with pytest.raises(AnotherStoresClusterError, match="of the store theirs"):
                await leader.trim(one)
            assert STREAM in str(one.trouble.repair)
            await scene.cut(leader.position)
            with pytest.raises(ServiceError, match="of the store theirs"):
                await leader.seeded()

    play(scenario, tmp_path)


def test_one_of_a_timeline_before_a_restore_is_replaced_and_not_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seeding, "SOURCE_WITHIN_SECONDS", 0)

    async def scenario(scene: Scene):
        async with leader_of(scene) as leader:
            await leader.backup()
            await leader.trim()
        await asyncio.to_thread(restore, leader.settings.places, Moment(), version="0", safety=False)
        async with leader_of(scene, 40) as leader:
            with pytest.raises(ServiceError, match=r"of timeline 2, and .* of timeline 1|lead to position 0"):
                await leader.seeded()
            found = await leader.sharing(timeline=2).share()
            assert found is not None
            assert found.metadata.timeline == 2
            await leader.seeded()
            leader.require_same()

    play(scenario, tmp_path)


def test_only_folders_that_nobody_else_has_need_it(tmp_path: Path):
    assert alone(tmp_path).shared_backup_bytes == 1024 * 1024 * 1024
    assert alone(tmp_path, backups=str(tmp_path / "mine")).shared_backup_bytes > 0
    assert alone(tmp_path, backups=str(tmp_path.parent / "shared")).shared_backup_bytes == 0
    assert alone(tmp_path, backups="/mnt/x", replication_backup_mib=1).shared_backup_bytes == 1024 * 1024
    assert alone(tmp_path, backups="s3://bucket/x", replication_backup_mib=1).shared_backup_bytes == 0
    assert alone(tmp_path, replication_backup_mib=0).shared_backup_bytes == 0
    assert alone(tmp_path, encrypt_to=("age1x",)).shared_backup_bytes == 0
    assert Settings(data=tmp_path).shared_backup_bytes == 0
