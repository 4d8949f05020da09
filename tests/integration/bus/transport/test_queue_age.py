"""The age of the broker's queue, measured by its answers to pings, and forgotten with the connection."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.broker.server import NatsServer
from bus.broker.users import APP, RESPONDER, private_inbox
from bus.transport.queue_age import PING_MESSAGES, PING_NS, QueueAge
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.connecting import connect
from hyperpage_client.transport.connection import LeanClient
from tests.support.machines.nats_process import send_signal
from tests.support.patience import until

# How an answer gets to the application.
INTO_INBOX = "hyperpage_to.app._INBOX.somebody"


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[NatsServer, LeanClient]]:
    async with NatsServer(data=folder, port=0) as server:
        supervising = asyncio.create_task(server.supervise())
        client = await connect(
            server.url_for(APP), inbox_prefix="_INBOX", within_seconds=10, again_after_seconds=0.05
        )
        try:
            yield server, client
        finally:
            await client.close()
            await cancel(supervising)


def read(age: QueueAge, now_ns: int) -> int:
    """The time since which the last of `PING_MESSAGES` messages waits: so many that a ping may be sent."""
    return [age.since(now_ns) for _ in range(PING_MESSAGES)][-1]


def test_what_is_read_waits_since_the_oldest_ping_that_is_not_answered(tmp_path: Path):
    async def play() -> None:
        async with connected(tmp_path) as (_, client):
            age = QueueAge(client)
            # After few messages no ping is sent.
            assert [age.since(number) for number in range(1, PING_MESSAGES)] == [*range(1, PING_MESSAGES)]
            assert read(age, 1) == 1
            assert read(age, PING_NS) == 1
            assert read(age, 3 * PING_NS) == 1
            # Both pings are answered.
            await until(lambda: age.since(4 * PING_NS - 1) == 4 * PING_NS - 1)

    asyncio.run(play())


def test_all_that_the_broker_had_is_read_before_the_sign(tmp_path: Path):
    async def play() -> None:
        async with connected(tmp_path) as (server, client), connected_to(server) as other:
            heard: list[int] = []
            read_by_then: list[int] = []
            await client.subscribe_direct("_INBOX.>", handler=lambda *message: heard.append(len(message[3])))
            await client.flush()
            await other.publish_many([(INTO_INBOX, "", bytes(size), None) for size in range(1_000)])
            await other.flush()
            client.ask_for_sign(lambda: read_by_then.append(len(heard)))
            await until(lambda: read_by_then)
            assert read_by_then == [1_000]

    asyncio.run(play())


@asynccontextmanager
async def connected_to(server: NatsServer) -> AsyncIterator[LeanClient]:
    client = await connect(
        server.url_for(RESPONDER), inbox_prefix=private_inbox(RESPONDER), within_seconds=10
    )
    try:
        yield client
    finally:
        await client.close()


def test_a_ping_that_was_lost_with_its_connection_is_forgotten(tmp_path: Path):
    async def play() -> None:
        async with connected(tmp_path) as (server, client):
            age = QueueAge(client)
            send_signal(server, signal.SIGSTOP)
            assert read(age, PING_NS) == read(age, 2 * PING_NS - 1) == PING_NS
            send_signal(server, signal.SIGKILL)
            await until(lambda: client.stats["reconnects"] == 1 and client.is_connected)
            # The age is forgotten at once, not only when the next ping is sent.
            assert age.since(2 * PING_NS - 1) == 2 * PING_NS - 1
            assert read(age, 2 * PING_NS) == 2 * PING_NS
            await until(lambda: age.since(3 * PING_NS - 1) == 3 * PING_NS - 1)

    asyncio.run(play())
