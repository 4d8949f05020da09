"""One prefix, one service: on a shared broker where each user has the least rights it needs."""

import asyncio
import shutil
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from bus.serving.prefix_claim import PrefixClaim
from hyperpage_client.contract.subjects import BusNames
from ops.service.errors import ServiceError
from tests.support.services.serving import relay_user, service_on, serving

REFUSED = r"another service serves the prefix hyperpage: \w+ \(store .+\)"


def copied(folder: Path) -> Path:
    """A copy of a stopped service's directory, which looks like the same store."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    return copy


async def made(folder: Path, server: NatsServer) -> Path:
    """A directory on which a service has run."""
    async with serving(folder, server):
        pass
    return folder


def test_a_second_service_on_the_prefix_is_refused_also_on_the_same_store(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server:
            first = await made(tmp_path / "first", server)
            copy = copied(first)
            async with serving(first, server) as service:
                for folder in (copy, tmp_path / "another"):
                    with pytest.raises(ServiceError, match=REFUSED) as refused:
                        async with serving(folder, server):
                            pass
                    assert service.origin.store_id in str(refused.value)
                assert service.leading.relay.state.healthy
            # The first service has stopped, so the copy can be served.
            async with serving(copy, server):
                pass

    asyncio.run(scenario())


def test_of_two_that_start_at_once_one_serves(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server:
            first = await made(tmp_path / "first", server)
            both = [service_on(first, server), service_on(copied(first), server)]
            results = await asyncio.gather(*(one.start() for one in both), return_exceptions=True)
            assert sorted(map(type, results), key=str) == [type(None), ServiceError]
            for service, result in zip(both, results, strict=True):
                if result is None:
                    await service.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(("own", "other"), [("1", "2"), ("2", "1")])
def test_the_later_one_gives_way_whoever_asks_first(tmp_path: Path, own: str, other: str):
    async def scenario() -> tuple[str | None, str | None]:
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            claims = [
                PrefixClaim(relay, BusNames(), instance=instance, store_id="s") for instance in (own, other)
            ]
            first, second = await asyncio.gather(*(claim.rival() for claim in claims))
            return first, second

    assert set(asyncio.run(scenario())) == {None, "1 (store s)"}


def test_who_has_the_prefix_keeps_it_against_one_that_is_older(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            assert await PrefixClaim(relay, BusNames(), instance="2", store_id="s").rival() is None
            assert await PrefixClaim(relay, BusNames(), instance="1", store_id="s").rival() == "2 (store s)"

    asyncio.run(scenario())


def test_what_is_no_word_of_a_service_is_passed_over(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            first = PrefixClaim(relay, BusNames(), instance="1", store_id="s")
            assert await first.rival() is None
            await relay.publish("hyperpage.sys.v1.services.starting", b"?")
            assert await PrefixClaim(relay, BusNames(), instance="2", store_id="s").rival() == "1 (store s)"

    asyncio.run(scenario())


def test_where_notices_cannot_be_heard_it_says_that_it_does_not_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async def scenario() -> None:
        # The relay's user has rights below another prefix only.
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            assert await PrefixClaim(relay, BusNames(prefix="b"), instance="1", store_id="s").rival() is None

    asyncio.run(scenario())

    assert "whether another service has the prefix b is not known" in caplog.text
    assert "b.sys.v1.services.>" in caplog.text
