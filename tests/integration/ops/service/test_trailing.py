"""Members whose log trails: commands are answered before others have them, and possible losses are told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.broker.server import NatsServer
from bus.client import Client
from bus.replication.cluster_bucket import ClusterError
from bus.transport.jetstream import JetStreamApi
from bus.writing.writer import Writer
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.connection import LeanClient
from ops.metrics.state import role_families
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.service.roles import cluster, election, leadership
from tests.support.clusters.one_server import has_followed, member_on
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.serving import client_of, published, relay_user, set_keys
from tests.support.stores.replicated import replicated_content

LOG = "HYPERPAGE_LOG"

pytestmark = pytest.mark.usefixtures("unhurried_leases")


def member(folder: Path, server: NatsServer, **settings: Any) -> Service:
    return member_on(folder, server, **{"replication": "async", **settings})


async def led_by(service: Service) -> None:
    await until(lambda: service.role.leading is not None)


async def handed_over(one: Service, other: Service) -> None:
    while other.role.leading is None:
        # A member that has not been heard of for some seconds is not handed the lead.
        with suppress(ClusterError, ServiceError):
            await one.cluster.hand_over(other.settings.member_name)


async def is_refused(leader: Service, successor: str, why: str) -> bool:
    """Whether handing over the lead is refused for that reason."""
    try:
        await leader.cluster.hand_over(successor)
    except ServiceError as error:
        return why in str(error)
    except ClusterError:
        # Nothing was heard of the other one for some seconds.
        return False
    return False


async def has_all(service: Service) -> None:
    """Returns when the log has all that a leader has answered."""
    trailing = service.leading.trailing
    assert trailing is not None
    await until(lambda: trailing.state.position == service.role.head.position)


async def work(client: Client, key: str) -> None:
    """Commands that touch every kind of what is replicated: events, rows, answers, leases."""
    await client.send("jobs.enqueue", {"type": "sync", "name": "a/b"})
    await client.send("jobs.claim", {"worker": "w", "types": ["sync"]})
    await set_keys(client, key)
    # It changes nothing, and its answer is kept.
    await client.send("app_state.set", {"key": key, "value": 1}, command_id=f"again-{key}")


async def require_equal(one: Service, other: Service) -> None:
    def are_equal() -> bool:
        with one.readers.connection() as first, other.readers.connection() as second:
            return replicated_content(first) == replicated_content(second)

    await until(are_equal)


@asynccontextmanager
async def no_room(relay: LeanClient) -> AsyncIterator[None]:
    """Keeps the log from taking messages, for the length of the block."""
    api = JetStreamApi(relay)
    report = await api.report(LOG)
    assert report is not None
    await api.update({**report.config, "max_bytes": report.state.bytes})
    try:
        yield
    finally:
        await api.update(report.config)


@contextmanager
def commits_held(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Keeps commits from ending, for the length of the block; tells whether one has begun."""
    begun, released, commit = threading.Event(), threading.Event(), writer._transactions.commit

    async def held() -> None:
        begun.set()
        while not released.is_set():  # noqa: ASYNC110  # of another thread
            await asyncio.sleep(0.005)
        await commit()

    with monkeypatch.context() as patch:
        patch.setattr(writer._transactions, "commit", held)
        try:
            yield begun.is_set
        finally:
            released.set()


def lags(service: Service) -> dict[str, int]:
    """By member, how many answered events the log lacks, as this service knows it."""
    return {
        one["name"]: one["log_lag_events"]
        for one in msgspec.to_builtins(service.health.report()["cluster"]["members"])
        if one["log_lag_events"]
    }


def forks(service: Service) -> list[Any]:
    with service.readers.connection() as connection:
        return [
            msgspec.json.decode(data)
            for (data,) in connection.execute("SELECT data FROM events WHERE stream = 'system/timeline'")
        ]


def test_others_have_what_was_answered_soon_after_and_nothing_is_forked_where_it_is_handed_over(
    tmp_path: Path,
):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            member(tmp_path / "a", server) as first,
            member(tmp_path / "b", server) as second,
        ):
            await work(client, "k")
            await has_all(first)
            await has_followed(second, first)
            await require_equal(first, second)

            await handed_over(first, second)
            await work(client, "l")
            await has_all(second)
            await has_followed(first, second)
            await require_equal(first, second)
            assert forks(first) == []
            assert first.origin.timelines == ((1, 1),)

    asyncio.run(scenario())


def test_a_log_without_room_holds_no_answer_up_and_what_it_lacks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            relay_user(server) as relay,
            member(tmp_path / "a", server) as first,
            member(tmp_path / "b", server) as second,
        ):
            await work(client, "k")
            await has_all(first)
            async with no_room(relay):
                await work(client, "l")
                trailing = first.leading.trailing
                assert trailing is not None
                await until(lambda: trailing.state.problem is not None)
                # Each member reports the lag of the leader.
                await until(lambda: lags(second).get("a") == 4)
                families = {one.name: one for one in role_families(first.role)}
                assert families["hyperpage_replication_unsent_events"].samples[0].value == 4
                assert families["hyperpage_replication_unsent_seconds"].samples[0].value > 0
                # With a handover, the events that the log lacks would be lost.
                monkeypatch.setattr(cluster, "NEAR_SECONDS", 0.0)
                monkeypatch.setattr(cluster, "HANDED_OVER_WITHIN_SECONDS", 0.0)
                await until(lambda: is_refused(first, "b", "lacks 4 answered events"))
            await has_all(first)
            await has_followed(second, first)
            await require_equal(first, second)

    asyncio.run(scenario())


def test_what_a_lost_leader_did_not_send_is_missing_in_a_new_timeline_and_kept_where_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(leadership, "SENT_WITHIN_SECONDS", 0.0)
    # The leader waits in vain for whom it hands over to.
    monkeypatch.setattr(election, "HANDING_OVER_SECONDS", 1.0)

    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            relay_user(server) as relay,
            member(tmp_path / "a", server) as first,
            member(tmp_path / "b", server) as second,
        ):
            await work(client, "k")
            await has_all(first)
            await has_followed(second, first)
            shared = second.role.head.position
            async with no_room(relay):
                await work(client, "lost")
                await published(first, shared + 4)
                await first.stop()
            await led_by(second)
            await work(client, "m")
            await has_all(second)

            [fork] = forks(second)
            assert fork == {
                "timeline": 2,
                "restored_position": shared,
                "leader": "b",
                "missing_events": 4,
            }
            assert "at least 4" in caplog.text
            assert second.origin.timelines == ((1, 1), (2, shared + 1))
            async with member(tmp_path / "a", server) as again:
                await has_followed(again, second)
                await require_equal(again, second)
                assert again.origin.timelines == second.origin.timelines
                kept = tmp_path / "a" / f"lost-events-timeline-1-{shared + 1}-{shared + 4}.jsonl"
                events = [msgspec.json.decode(line) for line in kept.read_bytes().splitlines()]
                assert [one["id"] for one in events] == [f"1-{shared + 1 + n}" for n in range(4)]
                assert str(kept) in caplog.text
                await handed_over(second, again)
                await work(client, "n")
                await has_all(again)
                await has_followed(second, again)
                assert len(forks(second)) == 1

    asyncio.run(scenario())


def test_who_leads_again_with_what_it_had_not_sent_begins_no_timeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leadership, "SENT_WITHIN_SECONDS", 0.0)

    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            relay_user(server) as relay,
        ):
            async with member(tmp_path / "a", server) as first:
                await work(client, "k")
                await has_all(first)
                async with no_room(relay):
                    await work(client, "l")
                    await first.stop()
            async with member(tmp_path / "a", server) as first:
                await led_by(first)
                assert forks(first) == []
                async with member(tmp_path / "b", server) as second:
                    await has_followed(second, first)
                    await require_equal(first, second)

    asyncio.run(scenario())


def test_a_leader_that_is_still_at_a_commit_does_not_say_that_all_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def scenario() -> None:
        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            member(tmp_path / "a", server) as first,
        ):
            await work(client, "k")
            await has_all(first)
            writer, trailing = first.leading.writer, first.leading.trailing
            leads = first.cluster._turns._leadership
            assert trailing is not None
            assert leads is not None
            with commits_held(writer, monkeypatch) as is_at_commit:
                slow = asyncio.create_task(client.send("app_state.set", {"key": "slow", "value": 1}))
                await until(is_at_commit)
                with monkeypatch.context() as patch:
                    patch.setattr(leadership, "SENT_WITHIN_SECONDS", 0.0)
                    await leads.have_all_sent()
                assert not trailing._is_to_end
            await until(lambda: not writer.is_at_work)
            monkeypatch.setattr(leadership, "SENT_WITHIN_SECONDS", COMES_WITHIN_SECONDS)
            await leads.have_all_sent()
            assert trailing._is_through
            assert trailing.state.position == writer.head.position
            await cancel(slow)

    asyncio.run(scenario())
