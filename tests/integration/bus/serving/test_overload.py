"""Overload: excess requests are refused as busy at once, users who send little are served, and it ends."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from bus.writing.loop_thread import LoopThread
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.patience import until
from tests.support.services.own_users import connected, new_user
from tests.support.services.raw_nats import Message, RawNats
from tests.support.services.serving import broker_of
from tests.support.stores.looking_inside import log_of

# Far more requests than any machine can handle within `BUSY_AFTER_MS`.
FLOOD = 4_000
BUSY_AFTER_MS = 20
SET = "hyperpage.cmd.v1.app_state.set"
LIST = "hyperpage.qry.v1.app_state.list"


@asynccontextmanager
async def serving(folder: Path, **more: Any) -> AsyncIterator[tuple[Service, RawNats]]:
    settings = Settings(data=folder, nats_port=0, no_http=True, busy_after_ms=BUSY_AFTER_MS, **more)
    async with (
        Service(settings) as service,
        await RawNats.connect(broker_of(service).url_for("app")) as client,
    ):
        yield service, client


@asynccontextmanager
async def holding(thread: LoopThread) -> AsyncIterator[None]:
    """Keeps a thread from reading for the length of the block; messages wait at the broker."""
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(60)

    thread.call_soon(hold)
    await until(begun.is_set)
    try:
        yield
    finally:
        go_on.set()


def sets(client: RawNats, count: int) -> "list[asyncio.Future[Message]]":
    return [client.ask(SET, {"key": "k", "value": number}, {}) for number in range(count)]


def test_of_a_flood_what_would_wait_too_long_is_busy_and_not_stored_and_the_rest_is_in_order(tmp_path: Path):
    async def play() -> list[Message]:
        async with serving(tmp_path) as (service, client):
            async with holding(service.leading.writer.thread):
                asked = sets(client, FLOOD)
                # The broker has all messages when this returns.
                await client.flush()
            answers = list(await asyncio.gather(*asked))
            counted = dict(service.leading.intake.refused)
            assert counted == {("app_state.set", "busy"): sum(one.code is not None for one in answers)}
            return answers

    answers = asyncio.run(play())

    assert Counter(one.code for one in answers).keys() == {None, "busy"}
    accepted = [number for number, one in enumerate(answers) if one.code is None]
    assert all(one.error["details"]["retry_after_ms"] == BUSY_AFTER_MS for one in answers if one.code)
    stored = [row for row in log_of(tmp_path / "hyperpage.db") if row.stream == "app_state/k"]
    assert [json.loads(row.data or b"")["value"] for row in stored] == accepted
    assert [one.said["version"] for one in answers if one.code is None] == list(range(1, len(accepted) + 1))


def test_a_burst_that_comes_while_nothing_waits_is_let_in(tmp_path: Path):
    async def play() -> list[Message]:
        async with serving(tmp_path) as (service, client):
            async with holding(service.leading.writer.thread):
                asked = sets(client, 1_000)
                await client.flush()
            return list(await asyncio.gather(*asked))

    assert {one.code for one in asyncio.run(play())} == {None}


def test_who_sends_little_is_let_in_while_another_floods(tmp_path: Path):
    async def play() -> tuple[list[Message], list[Msg]]:
        async with serving(tmp_path) as (service, client):
            _, seed = await new_user(service, "billing")
            async with connected(service, seed) as billing:
                async with holding(service.leading.writer.thread):
                    asked = sets(client, FLOOD // 2)
                    await client.flush()
                    mine = [
                        asyncio.create_task(billing.request(SET, b'{"key": "mine", "value": 1}', timeout=60))
                        for _ in range(50)
                    ]
                    await billing.flush()
                    asked += sets(client, FLOOD // 2)
                    await client.flush()
                return list(await asyncio.gather(*asked)), list(await asyncio.gather(*mine))

    answers, mine = asyncio.run(play())

    assert {one.code for one in answers} == {None, "busy"}
    assert [one.headers for one in mine] == [None] * 50


def test_an_overload_is_told_while_it_lasts_and_is_over_soon(tmp_path: Path):
    async def play() -> None:
        async with serving(tmp_path) as (service, client):
            asked = []

            async def flooded() -> bool:
                async with holding(service.leading.writer.thread):
                    asked.extend(sets(client, FLOOD))
                    await client.flush()
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*asked)
                return "commands_queue_up" in causes(service)

            await until(flooded, 120)
            assert "busy" in {one.code for one in await asyncio.gather(*asked)}
            # Without a pause: these commands count as no burst, and are let in all the same.
            assert {one.code for one in await asyncio.gather(*sets(client, 100))} == {None}
            await until(lambda: "commands_queue_up" not in causes(service))

    asyncio.run(play())


def causes(service: Service) -> set[str]:
    return {one.cause for one in service.health.causes}


def test_of_a_flood_of_queries_what_would_wait_too_long_is_busy(tmp_path: Path):
    async def play() -> list[Message]:
        async with serving(tmp_path) as (service, client):
            (stored,) = await asyncio.gather(*sets(client, 1))
            assert stored.code is None
            async with holding(service.requests.queries.thread):
                asked = [client.ask("hyperpage.qry.v1.app_state.get", {"key": "k"}) for _ in range(FLOOD)]
                await client.flush()
                # The status is asked for on the same connection, and is always answered.
                status = client.ask("hyperpage.qry.v1.service.status", {})
                await client.flush()
            answers = list(await asyncio.gather(*asked))
            assert (await status).said["position"] == 1
            return answers

    answers = asyncio.run(play())

    codes = Counter(one.code for one in answers)
    assert codes.keys() == {None, "busy"}
    assert codes[None] >= 1_000
    assert {one.said["value"] for one in answers if one.code is None} == {0}


def test_a_query_waits_two_seconds_for_a_connection_before_it_is_busy(tmp_path: Path):
    async def play() -> None:
        async with serving(tmp_path, reader_connections=1) as (service, client):
            with service.readers.connection():
                began = time.monotonic()
                answer = await client.ask(LIST, {})
                waited = time.monotonic() - began
            assert answer.code == "busy"
            assert waited >= 2.0
            # A query gets a connection that is given back while it waits.
            with service.readers.connection():
                waits = client.ask(LIST, {})
                await client.flush()
            assert (await waits).code is None

    asyncio.run(play())


def test_who_asks_little_is_answered_while_another_has_all_threads_wait(tmp_path: Path):
    async def play() -> None:
        async with serving(tmp_path, reader_wait_seconds=60) as (service, client):
            _, seed = await new_user(service, "billing")
            async with connected(service, seed) as billing:
                with ExitStack() as taken:
                    for _ in range(service.readers.maximum):
                        taken.enter_context(service.readers.connection())
                    asked = [client.ask(LIST, {}) for _ in range(1_000)]

                    def refused() -> bool:
                        asked.append(client.ask(LIST, {}))
                        return any(one.done() for one in asked)

                    await until(refused)
                    assert "queries_queue_up" in causes(service)
                    mine = asyncio.create_task(billing.request(LIST, b"{}", timeout=60))
                    await billing.flush()
                answers = await asyncio.gather(*asked)
                assert {one.code for one in answers} == {None, "busy"}
                assert {one.code for one in answers[:1_000]} == {None}
                assert "Nats-Service-Error" not in ((await mine).headers or {})
            await until(lambda: "queries_queue_up" not in causes(service))

    asyncio.run(play())
