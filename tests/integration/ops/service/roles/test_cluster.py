"""Services that cannot become members, faults that stop all members, and the messages about them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from ops.health import cluster
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.settings import Settings
from ops.store.opening import open_store
from tests.support.patience import until
from tests.support.services.outside_nats import stock_nats_server

LOG = "HYPERPAGE_LOG"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with stock_nats_server(tmp_path / "nats") as (_, url):
        yield url


def member(folder: Path, url: str, **settings: Any) -> Service:
    """A member that has not started, with a log of one copy."""
    given: dict[str, Any] = {"replication": "sync", "replication_replicas": 1, "member": folder.name}
    return Service(Settings(data=folder, nats=url, no_http=True, **{**given, **settings}))


async def refused(service: Service, problem: str, hint: str) -> None:
    """Returns when the service has failed to start with that problem and that hint."""
    with pytest.raises(ServiceError, match=problem) as error:
        await service.start()
    assert hint in error.value.hint


def test_who_may_not_be_a_member_as_it_is_is_told_what_to_do(tmp_path: Path, url: str) -> None:
    async def scenario() -> None:
        # A single nats-server cannot keep three copies of the log, and one copy was not asked for.
        three = member(tmp_path / "three", url, replication_replicas=3)
        await refused(three, "cannot keep 3 copies", "set replication_replicas to 1, if one copy is meant")

        async with member(tmp_path / "a", url, prefix="hyper.page") as first:
            twin = member(tmp_path / "twin", url, prefix="hyper.page", member="a")
            await refused(twin, "another live process is the member a", "give each member a name of its own")

            other = member(tmp_path / "other", url, prefix="hyper.page")
            other.settings.data.mkdir()
            open_store(other.settings.store_path, cache_kib=1_000)[0].close()
            await refused(
                other, f"belongs to the store {first.origin.store_id}", "begins with an empty data directory"
            )
            dots = member(tmp_path / "dots", url, prefix="hyper_page")
            await refused(dots, "is of the prefix hyper.page", "differs in more than its punctuation")
            alone = member(tmp_path / "alone", url, prefix="hyper.page", replication="off")
            await refused(alone, "another service serves the prefix", "")

            # It may have lost its lease for a moment, on a busy machine.
            await until(lambda: first.role.leading is not None)

    asyncio.run(scenario())


async def told(service: Service, problem: str) -> None:
    """Returns when a member reports that there is no leader, with this problem of its own."""

    def is_told() -> bool:
        causes = {one.cause: one.text for one in service.health.causes}
        return re.search(problem, causes.get("no_leader", "")) is not None

    await until(is_told)


def test_a_message_in_the_log_that_is_nobodys_stops_all_and_is_repaired_as_they_say(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LEADERLESS_SECONDS", 0.5)

    async def scenario() -> None:
        application = await nats.connect(url)

        async def set_value(value: int) -> bytes:
            answer = await application.request(
                "hyperpage.cmd.v1.app_state.set", b'{"key": "k", "value": %d}' % value, timeout=20
            )
            return answer.data

        async with member(tmp_path / "a", url) as first:
            assert b'"version":1' in await set_value(1)
            await application.request("hyperpage.log.v1", b"not a frame", timeout=10)
            assert b'"unavailable"' in await set_value(2)
            await told(
                first, f"message \\d+ of {LOG} is no frame of a leader; .* Delete the stream {LOG}, and"
            )
            assert first.health.report()["cluster"]["leader"] is None

            await application.request(f"$JS.API.STREAM.DELETE.{LOG}", b"", timeout=10)
            # The leader makes the log again by itself.
            await until(lambda: (leader := first.cluster.leader) is not None and leader.term > 0)
            assert b'"version":2' in await set_value(3)
        await application.close()

    asyncio.run(scenario())
