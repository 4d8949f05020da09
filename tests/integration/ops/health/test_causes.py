"""Each cause of a degraded and of an unhealthy service: caused, and seen from all sides within 5 s."""

import asyncio
import random
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import nats
import pytest

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, private_inbox
from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.log_stream import LogStream
from bus.replication.members import Member, Membership, Role
from bus.replication.shared_backup import SharedBackups
from bus.transport.jetstream import JetStreamApi
from bus.writing.waiting import BURST_COMMANDS
from domain.errors import Busy
from ops.archive import archiver
from ops.archive.segment import list_segments
from ops.backup.create import create_backup
from ops.backup.drill import prove
from ops.backup.schedule import FIRST_AFTER_MS
from ops.health import causes, cluster
from ops.health.room import KEPT_FILE, Sample
from ops.http.access.tokens import TokenFile
from ops.service.roles.sharing import Sharing
from ops.service.roles.trimming import Trimming
from ops.service.steady_clock import SteadyClock, wall_ms
from ops.targets.target import local
from tests.support.clock import DAY_MS, HOUR_MS, Clock
from tests.support.clusters.nats_servers import Cluster
from tests.support.machines.failing_disk import failing_disk
from tests.support.machines.nats_process import send_signal
from tests.support.patience import COMES_WITHIN_SECONDS, until, wait_for
from tests.support.services.acts import act
from tests.support.services.command_line import hyperpage
from tests.support.services.outside_nats import stock_nats_server
from tests.support.services.serving import EVENTS, broker_of
from tests.support.services.watching import Watched, eventually

# Some settings of a service.
Pace = dict[str, Any]


@pytest.fixture(params=["quick", pytest.param("as shipped", marks=pytest.mark.prove)])
def pace(request: pytest.FixtureRequest) -> Pace:
    """The settings of a service that checks its health often, to save time; or the default settings."""
    return {"health_interval_seconds": 0.1, "by_program": False} if request.param == "quick" else {}


async def begun(*work: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Tasks that run while the service's loop runs."""
    return [asyncio.create_task(one) for one in work]


async def finished(task: asyncio.Task[Any]) -> Any:
    return await task


@contextmanager
def beside(service: Watched) -> Iterator[apsw.Connection]:
    """Another program at the store of a running service."""
    with closing(apsw.Connection(str(service.settings.store_path))) as connection:
        connection.set_busy_timeout(5_000)
        yield connection


def test_a_service_is_healthy_and_says_with_figures_how_it_is(tmp_path: Path):
    with Watched(tmp_path) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        eventually(service, lambda: service.service.leading.relay.state.position == 1)
        service.sees_none("anything")
        report = service.status
        assert (report["status"], report["reasons"], report["causes"]) == ("healthy", [], [])
        assert report["store"]["size_bytes"] > 50_000
        assert 0 < report["store"]["query_ms"] < 100
        assert report["store"]["migrations"] == "all applied"
        assert report["memory"]["resident_bytes"] > report["memory"]["page_caches_bytes"] > 0
        assert report["connections"] == {"open": 1 + report["readers"]["open"], "open_transactions": 0}
        (disk,) = report["disks"]
        assert disk["used_for"] == ["store", "backups", "archive"]
        assert disk["free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
        eventually(service, lambda: service.service.health.dead_letters == 0)
        assert service.status["broker"]["durable_commands_waiting"] == 0
        assert service.get("/livez").json() == {"status": "alive"}
        assert service.get("/readyz").json() == {"status": "healthy"}


def test_low_limits_degrade_and_a_full_disk_is_unhealthy(tmp_path: Path, pace: Pace):
    limits: dict[str, Any] = {
        "disk_free_degraded_mib": 2**40,
        "memory_degraded_percent": 0.001,
        "wal_degraded_mib": 0,
        "query_latency_degraded_ms": 1e-6,
        "unhandled_jobs_degraded_minutes": 0.001,
    }
    with Watched(tmp_path, **pace, **limits) as service:
        # A WAL of more than a mebibyte.
        for _ in range(5):
            service.command("app_state.set", {"key": "k", "value": "x" * 60_000})
        assert "are free on the disk of" in service.sees("disk_low", level="degraded")
        assert "% of what there is" in service.sees("memory_high", level="degraded")
        assert "the WAL has" in service.sees("wal_large", level="degraded")
        service.command("jobs.enqueue", {"type": "lonely", "name": "Nobody's"})
        assert "1 due job of type 'lonely' in" in service.sees("jobs_unhandled", level="degraded")
        assert "reading one row takes" in service.sees("queries_slow", level="degraded")
        assert service.get("/readyz").json() == {"status": "degraded"}
    limits = {"disk_free_unhealthy_mib": 2**40, "unhandled_jobs_degraded_minutes": float("inf")}
    with Watched(tmp_path, **pace, **limits) as service:
        assert "are free on the disk of" in service.sees("disk_full", level="unhealthy")


def test_queries_that_are_refused_since_too_many_wait_are_told(
    tmp_path: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch
):
    with Watched(tmp_path, **pace) as service:
        # Long enough to ask all surfaces within the test.
        monkeypatch.setattr(causes, "BUSY_SECONDS", 3_600)

        def ask_too_late() -> None:
            long_ago = time.perf_counter_ns() - 10**10
            for _ in range(BURST_COMMANDS + 1):
                service.service.requests.queries.turns.require(None, long_ago)

        with pytest.raises(Busy):
            ask_too_late()
        assert "refused as busy" in service.sees("queries_queue_up", level="degraded")
        monkeypatch.setattr(causes, "BUSY_SECONDS", 0)
        service.sees_none("queries_queue_up")


def test_a_store_that_cannot_be_written_is_told_and_found_out_to_be_well_without_a_command(tmp_path: Path):
    # With the usual interval: this is what an operator gets.
    with Watched(tmp_path) as service, beside(service) as other:
        service.service.leading.writer.call(
            lambda connection: connection.set_busy_timeout(50), lambda _: None
        )
        # The answer shows that the call before it is done.
        service.command("app_state.set", {"key": "k", "value": 0})
        other.set_busy_timeout(10_000)
        other.execute("BEGIN IMMEDIATE")
        assert service.command("app_state.set", {"key": "k", "value": 1}).code == "unavailable"
        assert "locked" in service.sees("store_not_writable", level="unhealthy")
        assert service.get("/readyz").status_code == 503
        assert service.get("/livez").status_code == 200
        other.execute("ROLLBACK")
        service.sees_none("store_not_writable")
        assert service.get("/readyz").status_code == 200


def test_streams_that_are_nearly_full_are_told_and_heal_when_room_is_made(tmp_path: Path, pace: Pace):
    limits: dict[str, Any] = {
        "commands_stream_mib": 1,
        "results_stream_mib": 1,
        "dead_letters_stream_mib": 1,
        "stream_consumers": 1,
    }
    filler = "x" * 60_000
    with Watched(tmp_path, **pace, **limits) as service, beside(service) as other:

        async def store(name: str, *bodies: Any) -> None:
            for body in bodies:
                await service.client.request(f"hyperpage.dcmd.v1.{name}", body)

        service.service.leading.writer.call(
            lambda connection: connection.set_busy_timeout(50), lambda _: None
        )
        service.command("app_state.delete", {"key": "k"})
        other.set_busy_timeout(10_000)
        other.execute("BEGIN IMMEDIATE")
        service.run(store("app_state.set", *({"key": f"k{n}", "value": filler} for n in range(15))))
        assert "the broker refuses more" in service.sees("commands_stream_full", level="degraded")
        other.execute("ROLLBACK")
        service.sees_none("commands_stream_full")

        service.run(store("no.such", *(filler[:10_000] for _ in range(80))))
        assert "and not kept" in service.sees("dead_letters_full", level="degraded")
        service.administer("dlq.drop", {"all": True})
        service.sees_none("dead_letters_full")

        responder = service.service.parts.responder_connection
        for number in range(20):
            service.run(responder.publish(f"hyperpage.res.v1.{number}", filler.encode()))
        assert "before their time" in service.sees("results_stream_full", level="degraded")

        consumer = {"stream_name": EVENTS, "config": {"name": "c", "inactive_threshold": 600 * 10**9}}
        service.run(service.client.request(f"$JS.API.CONSUMER.CREATE.{EVENTS}.c", consumer))
        assert "takes no more" in service.sees("consumers_full", level="degraded")
        service.run(service.client.request(f"$JS.API.CONSUMER.DELETE.{EVENTS}.c"))
        service.sees_none("consumers_full")


async def told_by(service: Watched, cause: str) -> None:
    """Returns when the service itself knows of a cause, which may take nats-servers longer than 5 s."""
    await until(lambda: cause in {one.cause for one in service.service.health.causes})


def cluster_status(service: Watched) -> int:
    """The exit code of `cluster status`."""
    result = service.run(asyncio.to_thread(hyperpage, "cluster", "status", "--data", service.data))
    return int(result.code)


def test_nats_servers_of_a_cluster_that_are_away_are_told_and_so_is_that_nobody_leads(
    tmp_path: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "LEADERLESS_SECONDS", 1.0)
    monkeypatch.setattr(cluster, "UNSEEN_SECONDS", 4.0)
    servers = Cluster(tmp_path / "servers")
    asyncio.run(servers.start())
    try:
        urls = {user: servers.urls_for(user)[0] for user in (APP, ADMIN, RELAY, RESPONDER)}
        at: Pace = {
            "nats": urls[APP],
            "nats_admin": urls[ADMIN],
            "nats_relay": urls[RELAY],
            "nats_responder": urls[RESPONDER],
        }
        with Watched(tmp_path / "a", **pace, **at, replication="sync", member="a") as service:
            wait_for(lambda: service.command("app_state.set", {"key": "k", "value": 1}).code is None)
            servers.servers[1].kill()
            service.run(told_by(service, "log_copies_away"))
            assert "away: n1" in service.sees("log_copies_away", level="degraded")
            servers.servers[2].kill()
            service.run(told_by(service, "log_without_quorum"))
            assert "stores nothing" in service.sees("log_without_quorum", level="unhealthy")
            service.run(told_by(service, "no_leader"))
            assert "no command is taken" in service.sees("no_leader", level="unhealthy")
            assert service.status["cluster"]["log"]["has_quorum"] is False
            assert cluster_status(service) == 1

            # In the application's loop, which must go on: nats-server cuts off clients without a pong.
            service.run(servers.heal())
            told = {"no_leader", "log_without_quorum", "log_copies_away"}
            eventually(service, lambda: not told & {one.cause for one in service.service.health.causes})
            service.sees_none(*told)
            # The only member gets the lead again, and keeps it.
            wait_for(lambda: cluster_status(service) == 0)
    finally:
        asyncio.run(servers.stop())


def test_a_member_whose_clock_differs_is_told_and_one_of_another_version_is_noted(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace, replication="sync", replication_replicas=1) as service:
        parts = service.service.parts

        def other() -> Member:
            return Member(
                name="b",
                instance="another",
                role=Role.MEMBER,
                position=0,
                hash="",
                version="0.0.1",
                address="",
                time_ms=wall_ms() - 60_000,
            )

        async def joined() -> Membership:
            membership = Membership(ClusterBucket(parts.relay_connection, parts.names), other)
            await membership.join()
            return membership

        def notes() -> dict[str, str]:
            return {one["note"]: one["message"] for one in service.status["notes"]}

        membership = service.run(joined())
        telling = service.run(begun(membership.run()))
        service.run(told_by(service, "member_clock_differs"))
        message = service.sees("member_clock_differs", level="degraded")
        assert re.search(r"that of b is (59|60|61)\.\d s behind", message)
        assert "b 0.0.1" in notes()["members_differ_in_version"]

        telling[0].cancel()
        service.run(membership.leave())
        service.sees_none("member_clock_differs")
        assert "members_differ_in_version" not in notes()


async def nobody() -> list[int]:
    """The positions of other members, where there are none."""
    return []


def test_a_log_that_is_nearly_full_is_told_and_refuses_what_it_has_no_room_for(tmp_path: Path, pace: Pace):
    log: Pace = {"replication": "sync", "replication_replicas": 1, "replication_log_mib": 1}
    log["replication_backup_mib"] = 1
    chance = random.Random(1)
    with Watched(tmp_path, **pace, **log) as service:

        def fill() -> str | None:
            code: str | None = service.command(
                "app_state.set", {"key": "k", "value": chance.randbytes(20_000).hex()}
            ).code
            return code

        for _ in range(45):
            # A machine that is busy may lose the lease for a moment.
            wait_for(lambda: fill() is None)
        assert "commands are refused" in service.sees("log_stream_full", level="degraded")
        wait_for(lambda: fill() == "unavailable")
        create_backup(service.settings.store_path, service.settings.backup_folder, version="0", prove=prove)
        parts = service.service.parts
        stream = LogStream(parts.relay_connection, parts.names, parts.origin.store_id)
        shared = SharedBackups(parts.relay_connection, parts.names, parts.origin.store_id)
        assert parts.cluster is not None
        trouble = parts.cluster.sharing
        assert trouble is not None

        def trimmed(**settings: Any) -> int:
            changed = msgspec.structs.replace(service.settings, **settings)
            sharing = Sharing(changed, stream, shared, parts.readers, 1, trouble)
            gone: int = service.run(Trimming(changed, stream, parts.readers, 1, nobody, sharing).trim())
            return gone

        assert trimmed() == 0
        assert "and 1 may be there" in service.sees("backup_not_shared", level="degraded")
        assert trimmed(replication_backup_mib=8) > 0
        service.sees_none("backup_not_shared")
        service.sees_none("log_stream_full")
        wait_for(lambda: fill() is None)


def test_a_store_whose_shape_is_changed_by_another_program_is_told(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace) as service, beside(service) as other:
        other.execute("INSERT INTO schema_migrations (migration_name, checksum) VALUES ('999_later', 'x')")
        assert "999_later" in service.sees("migrations_differ", level="unhealthy")
        other.execute("DELETE FROM schema_migrations WHERE migration_name = '999_later'")
        service.sees_none("migrations_differ")

        other.execute("ALTER TABLE app_state RENAME TO hidden")
        assert "app_state" in service.sees("upkeep_stopped", level="degraded")
        other.execute("ALTER TABLE hidden RENAME TO app_state")
        service.sees_none("upkeep_stopped")


def test_damage_in_the_file_is_found_while_it_serves(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace, integrity_check_minutes=0.01) as service:
        for number in range(200):
            service.command("app_state.set", {"key": f"key-{number}", "value": "x" * 200})
        eventually(service, lambda: service.service.health.checks.integrity.checked_at)
        assert service.status["store"]["integrity"]["problem"] is None
        with beside(service) as other:
            page = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'app_state'").get
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with service.settings.store_path.open("r+b") as file:
            # Within the page, so that its header stays valid.
            file.seek((page - 1) * 4096 + 8)
            file.write(b"\xff" * 64)
        service.sees("store_damaged", level="unhealthy")


def test_a_disk_that_does_not_answer_is_told(tmp_path: Path, pace: Pace):
    with failing_disk() as disk, Watched(tmp_path, laid_out=False, **pace) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        disk.fail("read", times=10**9)
        # Another connection changes the file, so that cached pages no longer count.
        with closing(apsw.Connection(str(service.settings.store_path), vfs=disk.base)) as other:
            other.set_busy_timeout(10_000)
            other.execute("UPDATE app_state SET updated_at = updated_at")
        assert "cannot be read" in service.sees("store_unreadable", level="unhealthy")
        disk.heal()
        service.sees_none("store_unreadable")


def test_a_writer_that_hangs_and_what_queues_up_behind_it_are_told(tmp_path: Path, pace: Pace):
    is_held, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        is_held.set()
        go_on.wait(60)

    with Watched(tmp_path, **pace, writer_stalled_seconds=0.3, busy_after_ms=0) as service:
        try:
            service.service.leading.writer.call(hold, lambda _: None)
            assert is_held.wait(COMES_WITHIN_SECONDS)
            commands = [
                {"command": "app_state.set", "body": {"key": f"key-{number}", "value": 1}}
                for number in range(1_000)
            ]
            asked = [
                service.client.command("batch", {"commands": commands, "atomic": False}) for _ in range(11)
            ]
            answers = service.run(begun(*asked))
            assert "11,000 commands wait" in service.sees("commands_queue_up", level="degraded")
            assert "at one group of commands" in service.sees("writer_stalled", level="unhealthy")
        finally:
            go_on.set()
        service.sees_none("commands_queue_up", "writer_stalled")
        assert all(len(service.run(finished(one)).said["outcomes"]) == 1_000 for one in answers)
        service.service.leading.writer.stop()
        service.sees("writer_stopped", level="unhealthy")
        assert service.get("/livez").status_code == 503


def test_a_message_that_holds_the_writers_thread_up_is_told(tmp_path: Path, pace: Pace):
    go_on = threading.Event()
    with Watched(tmp_path, **pace, writer_stalled_seconds=0.3) as service:
        try:
            service.service.leading.writer.thread.call_soon(go_on.wait, 60)
            assert "at one group of commands" in service.sees("writer_stalled", level="unhealthy")
            assert service.get("/livez").status_code == 200
        finally:
            go_on.set()
        service.sees_none("writer_stalled")


def test_readers_that_are_all_in_use_are_told_although_there_is_none_to_ask_with(
    tmp_path: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(causes, "ARCHIVE_BEHIND_SECONDS", 0.2)
    limits: dict[str, Any] = {
        "reader_connections": 1,
        "reader_wait_seconds": 60,
        "relay_lag_degraded_seconds": 0.2,
    }
    with Watched(tmp_path, **pace, **limits) as service:
        with service.service.readers.connection():
            service.command("app_state.set", {"key": "k", "value": 1})
            assert "1 of 1 reading connections" in service.sees("readers_exhausted", level="degraded")
            # The relay waits for a connection, too, to read the events that it publishes.
            assert "1 event behind" in service.sees("relay_behind", level="degraded")
            # As does the archive.
            assert "1 event behind" in service.sees("archive_behind", level="degraded")
        service.sees_none("readers_exhausted", "relay_behind", "archive_behind")


def test_an_archive_whose_end_is_cut_off_while_it_is_written_is_told(
    tmp_path: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archiver, "LOOK_SECONDS", 0.2)
    with Watched(tmp_path, **pace) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        folder = service.settings.archive_folder
        assert isinstance(folder, Path)
        eventually(service, lambda: list_segments(folder))
        for one in list_segments(folder):
            one.path.unlink()
        assert "had been written up to 1" in service.sees("archive_cut", level="degraded")
        # The cut is seen before the segment is written again.
        eventually(service, lambda: [one.last for one in list_segments(folder)] == [1])


def test_a_clock_that_jumps_ahead_is_told(tmp_path: Path, pace: Pace):
    ahead = Clock(0)
    clock = SteadyClock(lambda: wall_ms() + ahead.now)
    with Watched(tmp_path, clock=clock, **pace) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        ahead.now = DAY_MS
        assert "ahead by 864" in service.sees("clock_jumped", level="degraded")
        ahead.now = 0
        service.sees_none("clock_jumped")


def test_backups_that_fail_or_do_not_come_and_a_clock_that_goes_back_are_told(tmp_path: Path, pace: Pace):
    clock = Clock()
    with Watched(tmp_path, clock=clock, **pace) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        clock.now -= 60_000
        assert "60 s behind" in service.sees("clock_behind", level="degraded")

        clock.now += 60_000 + FIRST_AFTER_MS
        service.sees_none("clock_behind")
        folder = service.settings.backup_folder
        local(folder).write_text("in the way")
        service.run(service.service.backups.do_what_is_due())
        assert "backup create failed" in service.sees("backup_failed", level="degraded")

        clock.now += 3 * HOUR_MS
        service.sees("backup_overdue", level="degraded")

        folder.unlink()
        create_backup(service.settings.store_path, folder, version="0", now_ms=clock.now)
        service.sees_none("backup_overdue")
        clock.now += 49 * HOUR_MS
        assert "52 hours" in service.sees("backup_unproven", level="degraded")


def test_an_archive_that_cannot_be_written_is_told(tmp_path: Path, pace: Pace):
    with Watched(tmp_path / "data", archive=str(tmp_path / "archive"), **pace) as service:
        (tmp_path / "archive").write_text("in the way")
        service.command("app_state.set", {"key": "k", "value": 1})
        assert "the archive is not kept" in service.sees("archive_stopped", level="degraded")
        (tmp_path / "archive").unlink()
        service.command("app_state.set", {"key": "k", "value": 2})
        eventually(service, lambda: service.service.leading.archiver.state.problem is None)
        service.sees_none("archive_stopped")


def test_a_nats_server_that_does_not_come_back_is_told_on_the_ways_that_are_left(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace) as service:
        server = broker_of(service.service)
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            send_signal(server, signal.SIGKILL)
            eventually(service, lambda: not server.alive)
            rival.bind(("127.0.0.1", server.port))
            rival.listen()
            message = service.sees("nats_server_down", level="unhealthy", bus=False)
            assert message.startswith("the embedded nats-server is down: ")
        eventually(service, lambda: service.service.parts.is_connected)


def test_a_disk_that_will_soon_be_full_is_told(tmp_path: Path, pace: Pace):
    free = shutil.disk_usage(tmp_path).free
    # Twice as much as there is now was free twelve hours ago.
    then = Sample(at=wall_ms() - 12 * 3_600_000, parts={}, free={str(tmp_path): 2 * free})
    (tmp_path / KEPT_FILE).write_bytes(msgspec.json.encode([then]))
    with Watched(tmp_path, **pace) as service:
        message = service.sees("disk_filling", level="degraded")
        assert f"the disk of {tmp_path} is full in 1" in message
        parts = {one["part"] for one in service.status["room"]["parts"]}
        assert {"events", "indexes of events", "command_answers", "WAL", "archive", "backups"} <= parts


def test_a_broker_that_is_gone_is_told(tmp_path: Path, pace: Pace):
    with (
        stock_nats_server(tmp_path / "broker") as (broker, url),
        Watched(tmp_path / "data", nats=url, **pace) as service,
    ):
        service.sees_none("nats_disconnected")
        broker.kill()
        service.sees("nats_disconnected", level="unhealthy", bus=False)


def test_a_stream_with_a_foreign_message_and_a_bucket_that_cannot_be_made_are_told(
    tmp_path: Path, pace: Pace
):
    with Watched(tmp_path, **pace) as service:

        async def intrude() -> None:
            url = broker_of(service.service).url_for(RELAY)
            relay = await nats.connect(url, inbox_prefix=private_inbox(RELAY).encode())
            jetstream = relay.jetstream(timeout=30)
            await jetstream.delete_stream("KV_hyperpage_app_state")
            await jetstream.add_stream(name="THIEF", subjects=["$KV.hyperpage_app_state.>"])
            await jetstream.publish("hyperpage.evt.v1.jobs.x.enqueued", b"not ours")
            await relay.close()

        service.run(intrude())
        service.command("app_state.set", {"key": "k", "value": 1})
        service.sees("relay_stopped", level="unhealthy")
        assert "hyperpage_app_state" in service.sees("mirror_stopped", level="degraded")


def test_more_subjects_than_the_broker_should_have_memory_for_are_told(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace, subjects_degraded_mib=0) as service:
        service.command("app_state.set", {"key": "k", "value": 1})
        assert "subjects" in service.sees("many_subjects", level="degraded")


def test_a_message_that_is_deleted_from_the_stream_is_told_until_it_is_filled_again(
    tmp_path: Path, pace: Pace
):
    with Watched(tmp_path, **pace) as service:
        for value in range(4):
            service.command("app_state.set", {"key": "k", "value": value})
        eventually(service, lambda: service.service.leading.relay.audit.state.sequence == 4)
        service.sees_none("stream_differs", "many_subjects")
        delete = f"$JS.API.STREAM.MSG.DELETE.{EVENTS}"
        relay = service.service.parts.relay_connection
        service.run(relay.request(delete, b'{"seq": 2}', timeout=COMES_WITHIN_SECONDS))
        assert "1 is gone, and no limit says why" in service.sees("stream_differs", level="degraded")
        service.administer("stream.refill")
        service.sees_none("stream_differs")


def test_tokens_that_are_not_known_any_more(tmp_path: Path, pace: Pace):
    TokenFile(tmp_path).create("ops", "read")
    file = tmp_path / "tokens.json"
    with Watched(tmp_path, **pace) as service:
        service.sees_none("tokens_unknown")
        kept = file.read_bytes()
        for mischief in (b"", b"{", b'{"tokens": []}'):
            file.write_bytes(mischief)
            assert "tokens.json" in service.sees("tokens_unknown", level="degraded")
            file.write_bytes(kept)
            service.sees_none("tokens_unknown")
        file.unlink()
        assert "has no tokens any more" in service.sees("tokens_unknown", level="degraded")


def test_an_audit_log_that_cannot_be_written(tmp_path: Path, pace: Pace):
    with Watched(tmp_path, **pace) as service:
        service.sees_none("audit_stopped")
        (tmp_path / "audit").rename(tmp_path / "away")
        (tmp_path / "audit").write_text("in the way")
        service.service.audit.note(act())
        service.sees("audit_stopped", level="degraded")
        (tmp_path / "audit").unlink()
        service.sees_none("audit_stopped")


def test_one_that_follows_tells_that_it_is_behind_and_that_nothing_comes(tmp_path: Path, pace: Pace):
    with stock_nats_server(tmp_path / "broker") as (_, url):
        several: dict[str, Any] = {"nats": url, "replication": "sync", "replication_replicas": 1}
        with Watched(tmp_path / "a", member="a", **several) as leader:
            leader.command("app_state.set", {"key": "k", "value": 1})
        # The leader has stopped: any service that answers on the bus is this follower.
        settings = {**several, **pace, "member": "f", "role": "follower"}
        with Watched(tmp_path / "f", **settings, follower_behind_seconds=1e-6) as follower:
            assert "had all of the log" in follower.sees("follower_behind", level="degraded")
            follower.sees_none("following_stopped")
        with Watched(tmp_path / "f", **settings) as follower:
            follower.sees_none("follower_behind")
            relay = JetStreamApi(follower.service.parts.relay_connection)
            follower.run(relay.delete(follower.service.names.log))
            assert "there is no stream" in follower.sees("following_stopped", level="degraded")


def test_a_log_that_trails_too_far_is_told(tmp_path: Path, pace: Pace):
    several: Pace = {"replication": "async", "replication_replicas": 1, "replication_lag_seconds": 1e-6}
    with Watched(tmp_path, **pace, **several) as service:
        api = JetStreamApi(service.service.parts.relay_connection)

        async def bound(size_bytes: int | None = None) -> None:
            """Limits the log's stream to so many bytes, by default to its size now; -1 lifts the limit."""
            report = await api.report(service.service.names.log)
            assert report is not None
            limit = report.state.bytes if size_bytes is None else size_bytes
            await api.update({**report.config, "max_bytes": limit})

        async def answered_while_it_is_full() -> bool:
            await bound()
            answer = await service.client.command("app_state.set", {"key": "k", "value": 1})
            if answer.code is not None:
                # On a busy machine, the lease may have been lost; to lead again needs room.
                await bound(-1)
            return answer.code is None

        service.run(until(answered_while_it_is_full))
        service.run(told_by(service, "log_behind"))
        assert "would be lost with this machine" in service.sees("log_behind", level="degraded")
        service.run(bound(-1))
        eventually(service, lambda: "log_behind" not in {one.cause for one in service.service.health.causes})
