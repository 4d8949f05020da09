"""Several services that follow one log: one leads, and the next leader has all that was answered."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from bus.broker.users import APP
from bus.client import connect
from bus.publishing.stream_state import OtherHistoryError
from ops.backup.create import create_backup
from ops.service.composition import Service
from ops.service.roles import election
from ops.settings import Settings
from tests.support.clock import HOUR_MS
from tests.support.clusters.members import members
from tests.support.clusters.nats_servers import Cluster
from tests.support.patience import until
from tests.support.services.serving import broker_of

pytestmark = pytest.mark.usefixtures("unhurried_leases")


def test_one_of_several_leads_and_when_it_ends_another_one_goes_on_with_all_that_it_answered(
    cluster: Cluster, tmp_path: Path
):
    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            first = await several.led_by()
            for number in range(4):
                await several.set_value(f"k.{number}", number, f"c-{number}")
            answer = await several.set_value("k", 1, "c-4")
            # Of three jobs, one may run at once, and two may begin in an hour.
            key = {"key": "acme", "limit": 1}
            limits = {"concurrency": key, "rate": {"key": "acme", "limit": 2, "window_ms": HOUR_MS}}
            for number in range(3):
                job = {"id": f"j{number}", "type": "t", "name": "A job", **limits}
                await several.command("jobs.enqueue", job, f"e-{number}")
            claim = {"worker": "w", "limit": 3}
            [held] = (await several.command("jobs.claim", claim, "claim-1"))["result"]["jobs"]
            await several.until_equal()
            assert several.leaders == [first]
            assert [one.role.head.position for one in several.services.values()] == [9, 9, 9]

            await several.stop(first)
            second = await several.led_by()
            assert second != first
            # The limits count the jobs that the leader before has handed out.
            waits = (await several.command("jobs.claim", claim, "claim-2"))["result"]
            assert (waits["jobs"], waits["waits_for_ends"]) == ([], True)
            await several.command("jobs.complete", {"id": "j0", "lease": held["lease"]}, "done")
            claimed = [(await several.command("jobs.claim", claim, f"claim-{n}"))["result"] for n in (3, 4)]
            assert [len(one["jobs"]) for one in claimed] == [1, 0]
            assert await several.set_value("k", 1, "c-4") == answer
            assert (await several.set_value("k", 2, "c-5"))["version"] == 2
            await several.start(first)
            await several.until_equal()
            assert several.leaders == [second]

    asyncio.run(scenario())


def test_what_is_sent_while_the_lead_is_handed_over_is_answered_by_the_successor(
    cluster: Cluster, tmp_path: Path
):
    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            first = await several.led_by()
            successor = next(name for name in several.services if name != first)
            await several.set_value("k", 0, "c-0")
            answers: list[int] = []
            is_over = asyncio.Event()

            async def send() -> None:
                while not is_over.is_set():
                    number = len(answers) + 1
                    said = await several.asked_once(
                        "app_state.set", {"key": "k", "value": number}, f"c-{number}"
                    )
                    answers.append(said["version"])

            was_dead: list[bool] = []

            async def look() -> None:
                """Watches for a dead role, as a supervisor does that restarts a stuck service."""
                while several.leaders != [successor]:
                    was_dead.append(not several.services[first].role.is_alive)
                    await asyncio.sleep(0.001)

            sending, looking = asyncio.create_task(send()), asyncio.create_task(look())
            await several.services[first].cluster.hand_over(successor)
            await asyncio.sleep(0)
            is_over.set()
            await sending

            await until(lambda: several.leaders == [successor])
            keys = {(tmp_path / name / "consumer-names.key").read_text() for name in (first, successor)}
            assert len(keys) == 1, "consumers of users have other names"
            await looking
            assert answers == list(range(2, len(answers) + 2))
            assert not any(was_dead)

    asyncio.run(scenario())


# Takes half a minute, mostly for nats-servers to choose new leaders of streams.
@pytest.mark.prove
def test_a_member_starts_and_leads_while_the_nats_server_beside_it_is_down(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        cluster.servers[0].kill()
        try:
            async with members(cluster, tmp_path, "a") as several:
                await several.led_by("a")
                await several.set_value("k", 1, "c-1")
        finally:
            await cluster.heal()

    asyncio.run(scenario())


def test_who_only_follows_never_leads_and_who_is_to_lead_counts_what_it_got_at_the_last_moment(
    cluster: Cluster, tmp_path: Path
):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "a") as several:
            await several.led_by("a")
            await several.start("b", role="follower")
            await several.set_value("k", 0, "c-0")
            await several.until_equal()
            assert several.services["b"].role.name == "follower"
            assert several.leaders == ["a"]

            turns = several.services["b"].cluster._turns
            # As a member on a slow machine.
            await turns._end_following()
            await several.set_value("k", 1, "c-1")
            await turns.stand()
            assert turns.position == several.services["a"].role.head.position
            await turns.follow()

    asyncio.run(scenario())


def test_a_leader_that_was_frozen_while_another_one_published_goes_on_as_a_member(
    cluster: Cluster, tmp_path: Path
):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "a") as several:
            await several.led_by("a")
            await several.set_value("k", 1, "c-1")
            service = several.services["a"]
            leading, failure = service.leading, asyncio.create_task(service.failure())
            # The error that its relay would find when it wakes up.
            leading.relay._other_history = OtherHistoryError("the events are ahead", "")
            leading.relay._has_parted.set()

            await until(lambda: service.role.leading not in (None, leading))
            assert (await several.set_value("k", 2, "c-2"))["version"] == 2
            assert not failure.done()
            failure.cancel()

    asyncio.run(scenario())


def test_one_whose_file_goes_apart_from_the_log_keeps_nobody_from_leading(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The leader waits in vain for whom it hands over to.
    monkeypatch.setattr(election, "HANDING_OVER_SECONDS", 1.0)
    shared: dict[str, Any] = {"backups": str(tmp_path / "backups"), "archive": str(tmp_path / "archive")}

    async def scenario() -> None:
        async with members(cluster, tmp_path, "c", **shared) as several:
            await several.set_value("k", 0, "c-0")
            await several.stop("c")
            # This store gets more events than the others, and other ones.
            async with (
                Service(Settings(data=tmp_path / "c", nats_port=0, no_http=True, **shared)) as alone,
                connect(broker_of(alone).url_for(APP)) as client,
            ):
                for number in range(5):
                    await client.send("app_state.set", {"key": "alone", "value": number})
            for name in "ab":
                await several.start(name, **shared)
            await several.set_value("k", 1, "c-1")
            await several.set_value("k", 2, "c-2")
            apart = await several.start("c", **shared)
            await until(lambda: not apart.cluster._turns.could_lead)

            await several.stop(await several.led_by("a", "b"))
            await several.led_by("a", "b")
            assert (await several.set_value("k", 3, "c-3"))["version"] == 4
            assert apart.role.head.position == 6

    asyncio.run(scenario())


def test_a_leader_that_decides_nothing_any_more_leaves_the_lead_to_others(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            first = await several.led_by()
            await several.set_value("k", 1, "c-1")
            # As if the disk did not answer any more, or another program kept the file locked.
            with closing(apsw.Connection(str(tmp_path / first / "hyperpage.db"))) as other:
                other.set_busy_timeout(10_000)
                other.execute("BEGIN IMMEDIATE")
                answer = await several.set_value("k", 2, "c-2")
                assert answer["version"] == 2
                await several.led_by(*set(several.services) - {first})
                other.execute("ROLLBACK")
            await several.until_equal()
            assert await several.set_value("k", 2, "c-2") == answer

    asyncio.run(scenario())


def test_a_leader_whose_end_goes_wrong_follows_all_the_same(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "ab") as several:
            first = await several.led_by()
            (other,) = {"a", "b"} - {first}
            turns = several.services[first].cluster._turns
            writer = several.services[first].leading.writer
            on_rest = turns._on_rest

            async def failing() -> None:
                await on_rest()
                raise OSError("the connection is closed")

            turns._on_rest = failing
            await several.services[first].cluster.hand_over(other)
            await several.set_value("k", 1, "c-1")
            await several.until_equal()
            assert not writer.is_alive

    asyncio.run(scenario())


def test_who_writes_reads_that_whichever_member_answers(cluster: Cluster, tmp_path: Path):
    async def write_and_read(url: str, key: str) -> list[int]:
        """The written numbers that the read after them did not show."""
        stale = []
        async with connect(url) as client:
            for number in range(10):
                await client.send("app_state.set", {"key": key, "value": number}, timeout_seconds=30)
                read = await client.query("app_state.get", {"key": key}, timeout_seconds=30)
                if read["value"] != number:
                    stale.append(number)
        return stale

    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            await several.led_by()
            # Each nats-server passes queries to the member that is connected to it.
            urls = cluster.urls_for(APP)
            found = await asyncio.gather(
                *(write_and_read(url, f"k.{number}") for number, url in enumerate(urls))
            )
            assert found == [[]] * 3
            asked = [
                one.requests.queries._endpoints["app_state.get"].requests for one in several.services.values()
            ]
            assert all(asked), asked

    asyncio.run(scenario())


def test_a_service_grows_into_a_cluster_without_losing_anything(cluster: Cluster, tmp_path: Path):
    shared = {"backups": str(tmp_path / "backups"), "archive": str(tmp_path / "archive")}

    async def scenario() -> None:
        async with members(cluster, tmp_path, "") as several:
            alone = await several.start("a", replication="off", **shared)
            answer = await several.set_value("k", 1, "c-1")
            await several.set_value("k", 2, "c-2")
            await several.stop("a")
            assert set((await several.replicas()).values()) == {1}
            await several.start("a", **shared)
            await several.set_value("k", 3, "c-3")
            # The streams that a leader needs have three copies now: each survives the loss of a nats-server.
            replicas = await several.replicas()
            assert len(replicas) > 6
            assert set(replicas.values()) == {3}, replicas
            settings = several.services["a"].settings
            await asyncio.to_thread(
                create_backup, settings.store_path, settings.backup_folder, version="of the test"
            )
            await several.set_value("k", 4, "c-4")
            await several.start("b", **shared)
            await several.start("c", **shared)
            await several.until_equal()
            await several.stop("a")

            assert await several.led_by() in "bc"
            assert alone.origin.store_id == several.services["b"].origin.store_id
            assert await several.set_value("k", 1, "c-1") == answer
            assert (await several.set_value("k", 5, "c-5"))["version"] == 5

    asyncio.run(scenario())


def test_a_member_whose_machine_is_lost_is_replaced_by_an_empty_one(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            lost = await several.led_by()
            answer = await several.set_value("k", 1, "c-1")
            await several.stop(lost)
            shutil.rmtree(tmp_path / lost)
            await several.set_value("k", 2, "c-2")
            await several.start(lost)
            await several.until_equal()
            (other,) = {"a", "b", "c"} - {lost, await several.led_by()}
            await several.stop(other)
            await several.stop(await several.led_by())

            await several.led_by(lost)
            assert await several.set_value("k", 1, "c-1") == answer

    asyncio.run(scenario())


def test_where_all_nats_servers_are_lost_the_files_begin_the_log_anew(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "ab") as several:
            answer = await several.set_value("k", 1, "c-1")
            await several.until_equal()
            for name in "ab":
                await several.stop(name)
            for server in cluster.servers:
                server.kill()
                server.wipe()
            await cluster.heal()
            await several.start("a")
            await several.start("b")

            assert await several.set_value("k", 1, "c-1") == answer
            assert (await several.set_value("k", 2, "c-2"))["version"] == 2
            await several.until_equal()

    asyncio.run(scenario())
