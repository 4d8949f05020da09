"""Of two services with one store, the newer one serves, and only after the older one knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from bus.publishing import incarnation
from bus.publishing.incarnation import Incarnation, SupersededError
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.transport.jetstream_answers import StreamReport
from tests.support.clusters.nats_servers import answered
from tests.support.patience import until
from tests.support.services.serving import EVENTS, relay_user

CONFIG = {"name": EVENTS, "subjects": ["hyperpage.evt.v1.>"], "storage": "file", "metadata": {"kept": "1"}}


@asynccontextmanager
async def jetstream(folder: Path) -> AsyncIterator[JetStreamApi]:
    async with NatsServer(data=folder, port=0) as server, relay_user(server) as relay:
        api = JetStreamApi(relay)
        await api.create(CONFIG)
        yield api


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incarnation, "LOOK_SECONDS", 0.05)


def test_a_successor_serves_only_after_the_one_before_it_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "VALID_SECONDS", 0.3)
    monkeypatch.setattr(incarnation, "WAIT_SECONDS", 0.4)

    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            frozen = Incarnation(api, EVENTS, "b")
            await frozen.take()
            # The older service looks at the stream no more, as if it were frozen or cut off.
            successor = Incarnation(api, EVENTS, "a", clock=lambda: 0.0)
            await successor.take()
            assert successor.is_valid
            assert not frozen.is_valid
            with pytest.raises(SupersededError, match="another service"):
                await frozen.run()
            assert not frozen.is_valid

    asyncio.run(scenario())


def test_who_looks_again_and_again_serves_on_and_finds_a_successor_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            first, second = Incarnation(api, EVENTS, "b"), Incarnation(api, EVENTS, "a")
            await first.take()
            serving, taking = asyncio.create_task(first.run()), asyncio.create_task(second.take())
            with pytest.raises(SupersededError):
                await serving
            assert not first.is_valid
            assert not taking.done()
            taking.cancel()

    asyncio.run(scenario())


def test_one_that_has_ended_is_not_waited_for_and_nothing_else_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "WAIT_SECONDS", 3600.0)

    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            for _ in range(2):
                one = Incarnation(api, EVENTS, "a", now_ms=lambda: 0)
                await asyncio.wait_for(one.take(), 10)
                await one.end()
            report = await api.report(EVENTS)
            assert report is not None
            assert (report.metadata["hyperpage_incarnation"], report.metadata["kept"]) == ("2 ", "1")

    asyncio.run(scenario())


def test_who_finds_no_number_serves_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incarnation, "VALID_SECONDS", 0.3)
    monkeypatch.setattr(incarnation, "WAIT_SECONDS", 0.4)

    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            one = Incarnation(api, EVENTS, "a")
            await one.take()
            await api.delete(EVENTS)
            await answered(lambda: api.create(CONFIG))
            await until(lambda: not one.is_valid)
            looking = asyncio.create_task(one.run())
            await until(lambda: one.is_valid)
            looking.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("number", ["", "1 another"])
def test_whose_time_ran_out_and_whose_number_is_gone_waits_as_a_successor_does(
    tmp_path: Path, number: str
) -> None:
    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            now = 0.0
            one = Incarnation(api, EVENTS, "a", clock=lambda: now)
            await one.take()
            # The service is frozen; another one takes over, and the broker loses what that one wrote.
            now += incarnation.VALID_SECONDS
            await api.update({**CONFIG, "metadata": {"hyperpage_incarnation": number}})
            assert not await one._look()
            assert await one._look()
            assert not one.is_valid
            now += incarnation.WAIT_SECONDS
            assert await one._look()
            assert one.is_valid

    asyncio.run(scenario())


def test_a_stream_that_was_made_anew_is_marked_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            one = Incarnation(api, EVENTS, "a", now_ms=lambda: 0)
            await one.take()
            looking = asyncio.create_task(one.run())
            await api.delete(EVENTS)
            # On a slow disk, nats-server is not done with the old one's files yet.
            await answered(lambda: api.create(CONFIG))

            async def is_marked() -> bool:
                report = await api.report(EVENTS)
                return report is not None and report.metadata.get("hyperpage_incarnation") == "1 a"

            await until(is_marked)
            assert not looking.done()
            looking.cancel()

    asyncio.run(scenario())


def test_one_whose_number_was_written_over_waits_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "WAIT_SECONDS", 1.5)

    async def scenario() -> float:
        async with jetstream(tmp_path) as api:
            await Incarnation(api, EVENTS, "a").take()
            before = await api.report(EVENTS)
            assert before is not None
            began = asyncio.get_running_loop().time()
            taking = asyncio.create_task(Incarnation(api, EVENTS, "b").take())

            async def is_written() -> bool:
                report = await api.report(EVENTS)
                return report is not None and report.metadata != before.metadata

            await until(is_written)
            # The older service read the stream's settings before, and overwrites the newer one's number.
            await api.update(before.config)
            await taking
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(scenario()) >= 2 * 1.5


def test_a_look_in_vain_is_followed_by_another_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unanswered(JetStreamApi):
        looks = 0

        async def report(self, stream: str) -> StreamReport | None:
            self.looks += 1
            if self.looks == 3:
                monkeypatch.setattr(incarnation, "LOOK_SECONDS", 3600.0)
                raise JetStreamError("no answer")
            return await super().report(stream)

    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            api = Unanswered(relay)
            await api.create(CONFIG)
            one = Incarnation(api, EVENTS, "a")
            await one.take()
            looking = asyncio.create_task(one.run())
            await until(lambda: api.looks == 4)
            looking.cancel()

    asyncio.run(scenario())


def test_who_served_before_the_stream_was_made_anew_is_the_older_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with jetstream(tmp_path) as api:
            frozen = Incarnation(api, EVENTS, "b", now_ms=lambda: 1_000)
            await frozen.take()
            await api.delete(EVENTS)
            await answered(lambda: api.create(CONFIG))
            await Incarnation(api, EVENTS, "a", now_ms=lambda: 2_000).take()
            with pytest.raises(SupersededError):
                await frozen.run()

    asyncio.run(scenario())


def test_where_no_number_is_there_and_the_log_has_events_it_waits_as_a_successor_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "WAIT_SECONDS", 0.3)

    async def scenario() -> float:
        async with jetstream(tmp_path) as api:
            # The log has events, and the stream has none: another service may serve, and have lost it.
            began = asyncio.get_running_loop().time()
            await Incarnation(api, EVENTS, "a").take(has_events=True)
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(scenario()) >= 0.3
