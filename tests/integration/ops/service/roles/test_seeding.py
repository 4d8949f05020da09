"""A member's file is made of a backup, the archive and the log, on a real nats-server."""

import asyncio
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.log_stream import LaterTimelineError, LogStream
from bus.replication.members import Member, Role
from migrations.connection import open_reader
from ops.backup.create import create_backup
from ops.backup.restoring.present import read_present
from ops.backup.restoring.recovery import DamagedStoreError
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.service.errors import ServiceError
from ops.service.restores import make_sound
from ops.service.roles import seeding
from ops.service.roles.seeding import seeded
from ops.store.reseeding import ask_reseed
from tests.support.stores.relaying import NAMES
from tests.support.stores.replicated import Led, leading, opened
from tests.support.stores.seeding import Scene, content_of, play, work


async def require_same(scene: Scene, led: Led) -> None:
    leaders = led.store.in_writer(content_of)
    assert leaders["job_leases"]
    assert scene.content() == leaders


def test_a_log_that_begins_with_the_first_event_is_enough(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded(may_lead=False)
            await require_same(scene, led)

    play(scenario, tmp_path)


def test_the_newest_backup_is_brought_forward_by_the_log(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            position = led.store.writer.head.position
            await asyncio.to_thread(scene.backup)
            await work(led, 20)
            await scene.cut(position)
            await scene.seeded()
            await require_same(scene, led)

    play(scenario, tmp_path)


def test_the_archive_leads_from_an_older_backup_to_a_log_that_was_begun_anew(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup)
            await work(led, 20)
            await scene.archive(led)
        await scene.broker.api.delete(NAMES.log)
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 40)
            await scene.seeded()
            await require_same(scene, led)

    play(scenario, tmp_path)


def test_what_is_missing_is_said_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(seeding, "SOURCE_WITHIN_SECONDS", 0)

    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.cut(20)
            with pytest.raises(ServiceError, match="begins behind position 19 of") as refused:
                await scene.seeded()
            assert "make a backup where the log is led" in refused.value.hint
            assert [one.name for one in scene.settings.data.iterdir()] == []
            # The next try succeeds, with the backup that was missing.
            await asyncio.to_thread(scene.backup)
            await scene.seeded()
            await require_same(scene, led)

    play(scenario, tmp_path)


def test_what_is_not_there_yet_is_waited_for(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.cut(20)
            waiting = asyncio.create_task(scene.seeded())
            await scene.archive(led)
            await waiting
            assert scene.content() | {"job_leases": []} == led.store.in_writer(content_of) | {
                "job_leases": []
            }

    play(scenario, tmp_path)


def test_a_file_that_ends_before_the_log_begins_is_made_anew(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded()
            await work(led, 20)
            await asyncio.to_thread(scene.backup)
            await scene.cut(led.store.writer.head.position)
            await scene.seeded()
            await require_same(scene, led)

    play(scenario, tmp_path)


def test_a_file_that_the_log_leads_on_from_stays_as_it_is(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded()
            before = scene.settings.store_path.read_bytes()
            await work(led, 20)
            await scene.seeded()
            assert scene.settings.store_path.read_bytes() == before

    play(scenario, tmp_path)


def test_an_older_file_with_other_events_stays_as_it_is(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup)
            position = led.store.writer.head.position
            await work(led, 20)
            await scene.cut(position)
            connection, _ = opened(scene.settings.store_path, led.store.origin.store_id)
            connection.close()
            await scene.broker.api.delete(NAMES.log)
        async with leading(scene.broker, scene.settings.store_path) as led:
            await work(led, 1, 1)
        await scene.broker.api.delete(NAMES.log)
        async with leading(scene.broker, scene.leaders) as led:
            await asyncio.to_thread(scene.backup)
            before = scene.content()
            with pytest.raises(ServiceError, match="has other events than the log"):
                await scene.seeded()
            assert scene.content() == before

    play(scenario, tmp_path)


def test_members_that_begin_at_once_are_of_one_new_store(tmp_path: Path):
    async def scenario(scene: Scene):
        folders = [tmp_path / name for name in ("one", "two", "three")]
        members = [scene.settings_of(folder) for folder in folders]
        for folder in folders:
            folder.mkdir()
        await asyncio.gather(*(seeded(one, scene.broker.connection, may_lead=True) for one in members))

        stores = set()
        for one in members:
            connection, origin = opened(one.store_path)
            connection.close()
            stores.add(origin.store_id)
        assert len(stores) == 1

    play(scenario, tmp_path)


def test_who_may_not_lead_begins_no_log(tmp_path: Path):
    async def scenario(scene: Scene):
        with pytest.raises(ServiceError, match="no log to follow yet"):
            await scene.seeded(may_lead=False)
        assert not scene.settings.store_path.exists()

    play(scenario, tmp_path)


def test_nobody_begins_a_new_store_where_another_has_published_events(tmp_path: Path):
    async def scenario(scene: Scene):
        config = {"name": NAMES.events, "subjects": ["e"], "metadata": {"hyperpage_store_id": "theirs"}}
        await scene.broker.api.create(config)
        with pytest.raises(ServiceError, match="has events of the store theirs"):
            await scene.seeded()
        assert await LogStream.there(scene.broker.connection, NAMES) is None

    play(scenario, tmp_path)


def test_a_file_of_another_store_stays_as_it_is(tmp_path: Path):
    async def scenario(scene: Scene):
        opened(scene.settings.store_path)[0].close()
        async with leading(scene.broker, scene.leaders):
            with pytest.raises(ServiceError, match="belongs to the store"):
                await scene.seeded()

    play(scenario, tmp_path)


def test_a_file_that_its_operator_gives_up_is_kept_and_what_it_alone_has_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async def scenario(scene: Scene):
        store = scene.settings.store_path
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded()
            await work(led, 20, 1)
        await scene.broker.api.delete(NAMES.log)
        async with leading(scene.broker, store) as led:
            await work(led, 40, 1)
        before = scene.content()
        await scene.broker.api.delete(NAMES.log)
        async with leading(scene.broker, scene.leaders) as led:
            await asyncio.to_thread(scene.backup)
            head = read_present(store)
            assert head is not None
            assert head.head is not None
            ask_reseed(scene.settings.data, head.head)
            await scene.seeded()
            await require_same(scene, led)
        (aside,) = store.parent.glob(f"{store.name}.set-aside-*[0-9]")
        with closing(open_reader(aside)) as connection:
            assert content_of(connection) == before
        assert "events that it alone has: 36 to 38" in caplog.text
        # The next seeding does not set the file aside again.
        await scene.seeded()
        assert len([*store.parent.glob(f"{store.name}.set-aside-*[0-9]")]) == 1

    play(scenario, tmp_path)


def test_after_a_restore_the_log_is_begun_anew_and_others_make_their_files_anew(tmp_path: Path):
    async def scenario(scene: Scene):
        places = msgspec.structs.replace(scene.settings.places, store=scene.leaders)
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup)
            await work(led, 20)
            await scene.seeded()
        await asyncio.to_thread(restore, places, Moment(), version="0")
        await scene.seeded()
        before = scene.content()
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 40)
            await asyncio.to_thread(scene.backup)
            with pytest.raises(LaterTimelineError):
                await leading(scene.broker, scene.settings.store_path).__aenter__()
            assert scene.content() == before
            await scene.seeded()
            await require_same(scene, led)
        store = scene.settings.store_path
        (aside,) = store.parent.glob(f"{store.name}.set-aside-*[0-9]")
        with closing(open_reader(aside)) as connection:
            assert content_of(connection) == before

    play(scenario, tmp_path)


def test_a_restore_to_before_the_log_begins_is_led_with_and_the_others_follow_it(tmp_path: Path):
    async def scenario(scene: Scene):
        store = scene.settings.store_path
        places = msgspec.structs.replace(scene.settings.places, store=store)
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded()
            await asyncio.to_thread(scene.backup)
            await work(led, 20)
            await asyncio.to_thread(scene.backup)
            # Cuts the log as trimming does.
            await scene.cut(led.store.writer.head.position)
        await asyncio.to_thread(restore, places, Moment(position=10), version="0")
        before = scene.content()
        await scene.seeded()
        assert scene.content() == before

        async with leading(scene.broker, store) as led:
            await work(led, 40)
            other = scene.settings_of(tmp_path / "other")
            other.data.mkdir()
            await asyncio.to_thread(create_backup, store, scene.settings.backup_folder, version="0")
            await seeded(other, scene.broker.connection, may_lead=True)
            with closing(open_reader(other.store_path)) as connection:
                assert content_of(connection) == led.store.in_writer(content_of)

    play(scenario, tmp_path)


def test_a_restored_member_does_not_start_while_another_one_may_lead_and_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def scenario(scene: Scene):
        store = scene.settings.store_path
        places = msgspec.structs.replace(scene.settings.places, store=store)
        bucket = ClusterBucket(scene.broker.connection, NAMES)
        async with leading(scene.broker, scene.leaders) as led:
            await bucket.prepare(store_id=led.store.origin.store_id, replicas=1)
            await work(led, 1)
            await scene.seeded()
            await asyncio.to_thread(scene.backup)
            await asyncio.to_thread(restore, places, Moment(position=10), version="0")
            before = scene.content()
            # A member that has ended without a word, and a follower: neither may lead.
            await tell_of(bucket, "x", Role.MEMBER, seconds=1)
            await tell_of(bucket, "y", Role.FOLLOWER, seconds=600)
            await scene.seeded()

            monkeypatch.setattr(seeding, "ENDED_WITHIN_SECONDS", 0)
            await tell_of(bucket, "z", Role.LEADER, seconds=600)
            with pytest.raises(ServiceError, match=r"to timeline 2, and the cluster goes on.*: z") as refused:
                await scene.seeded()
            assert "stop the others first" in refused.value.hint
            assert scene.content() == before

            found = read_present(store)
            assert found is not None
            assert found.head is not None
            ask_reseed(scene.settings.data, found.head)
            await scene.seeded()
            await require_same(scene, led)

    play(scenario, tmp_path)


async def tell_of(bucket: ClusterBucket, name: str, role: Role, *, seconds: int) -> None:
    """Puts an entry of such a member into the bucket, which lives for so many seconds."""
    told = Member(name=name, instance="i", role=role, position=0, hash="", version="0", address="", time_ms=0)
    await bucket.put(
        f"member.{name}", msgspec.json.encode(told), expected=0, lives_seconds=seconds, timeout_ms=10_000
    )


def test_a_restored_leader_without_a_backup_of_its_own_time_leaves_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seeding, "SOURCE_WITHIN_SECONDS", 0)

    async def scenario(scene: Scene):
        places = msgspec.structs.replace(scene.settings.places, store=scene.leaders)
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup)
            await work(led, 20)
            await scene.seeded()
            before = scene.content()
        await asyncio.to_thread(restore, places, Moment(), version="0", safety=False)
        async with leading(scene.broker, scene.leaders):
            with pytest.raises(ServiceError, match=r"of timeline 2, and .* of timeline 1"):
                await scene.seeded()
        assert scene.content() == before

    play(scenario, tmp_path)


def test_what_others_have_archived_meanwhile_is_no_damage_of_a_member_that_crashed(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await scene.seeded()
            await work(led, 20)
            await scene.archive(led)
            before = scene.content()
            await make_sound(scene.settings, "0", after_a_crash=True)
            assert scene.content() == before

    play(scenario, tmp_path)


def test_a_damaged_member_gives_nothing_up_for_what_backups_have(tmp_path: Path):
    async def scenario(scene: Scene):
        async with leading(scene.broker, scene.leaders) as led:
            await work(led, 1)
            await asyncio.to_thread(scene.backup)
        store = scene.settings.store_path
        store.write_bytes(b"no database" * 1_000)
        settings = msgspec.structs.replace(scene.settings, restore_when_damaged=True)
        with pytest.raises(DamagedStoreError) as refused:
            await make_sound(settings, "0", after_a_crash=False)
        assert "move hyperpage.db out of" in refused.value.hint
        store.unlink()
        await scene.seeded()
        assert read_present(store) is not None

    play(scenario, tmp_path)
