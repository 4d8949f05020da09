"""A whole service on a folder, with a real broker, and the acts of a test on both."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, private_inbox
from bus.client import ChangeEvent, Client, Subscription, connect
from bus.log import chain
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM
from hyperpage_client.transport.connection import LeanClient
from migrations.connection import open_writer
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.patience import COMES_WITHIN_SECONDS, until

EVENTS = "HYPERPAGE_EVENTS"


@asynccontextmanager
async def serving(folder: Path, server: NatsServer | None = None) -> AsyncIterator[Service]:
    """A service for the length of the block: on its own nats-server, or on one that outlives it."""
    async with service_on(folder, server) as service:
        yield service


def service_on(folder: Path, server: NatsServer | None) -> Service:
    """A service that has not been started."""
    if server is None:
        return Service(Settings(data=folder, nats_port=0, no_http=True))
    return Service(
        Settings(
            data=folder,
            nats=server.url_for(APP),
            nats_relay=server.url_for(RELAY),
            nats_responder=server.url_for(RESPONDER),
            nats_admin=server.url_for(ADMIN),
            no_http=True,
        )
    )


def broker_of(service: Service) -> NatsServer:
    """The service's own nats-server."""
    assert service.nats_server is not None
    return service.nats_server


@asynccontextmanager
async def client_of(
    broker: Service | NatsServer, *, actor: str | None = None, prefix: str = "hyperpage"
) -> AsyncIterator[Client]:
    """A client with the rights of an application."""
    server = broker_of(broker) if isinstance(broker, Service) else broker
    async with connect(server.url_for(APP), actor=actor, prefix=prefix) as client:
        yield client


@asynccontextmanager
async def relay_user(broker: Service | NatsServer) -> AsyncIterator[LeanClient]:
    """A connection that may do anything with the streams."""
    server = broker_of(broker) if isinstance(broker, Service) else broker
    connection = LeanClient()
    await connection.connect(server.url_for(RELAY), inbox_prefix=private_inbox(RELAY).encode())
    try:
        yield connection
    finally:
        await connection.close()


async def take(subscription: Subscription, count: int) -> list[ChangeEvent]:
    """The next events."""
    async with asyncio.timeout(COMES_WITHIN_SECONDS):
        return [await anext(subscription) for _ in range(count)]


async def take_to(subscription: Subscription, position: int) -> list[ChangeEvent]:
    """The next events up to one at a position."""
    events: list[ChangeEvent] = []
    async with asyncio.timeout(COMES_WITHIN_SECONDS):
        while not events or events[-1].position < position:
            events.append(await anext(subscription))
    return events


async def set_keys(client: Client, *keys: str) -> int:
    """Stores a value under each key, and answers with the last position."""
    position = 0
    for key in keys:
        answer = await client.send(
            "app_state.set",
            {"key": key, "value": os.urandom(4).hex()},
            timeout_seconds=COMES_WITHIN_SECONDS,
        )
        position = answer.position or position
    return position


async def published(service: Service, position: int) -> None:
    """Returns when the events up to a position are in the stream."""
    await until(lambda: (service.leading.relay.state.position or 0) >= position)


def restore_by_hand(store: Path, older: bytes) -> int:
    """Puts an older store in the place of a stopped one, as a restore does; returns the fork's position."""
    for leftover in store.parent.glob(f"{store.name}-*"):
        leftover.unlink()
    newest = _timelines(store)[-1][0]
    store.write_bytes(older)
    connection = open_writer(store)
    try:
        connection.execute("BEGIN IMMEDIATE")
        head = chain.read_head(connection)
        timeline = newest + 1
        fork = {"timeline": timeline, "restored_position": head.position}
        entry = chain.Entry(
            stream=TIMELINE_STREAM,
            version=len(list(chain.read_stream(connection, TIMELINE_STREAM))) + 1,
            type=TIMELINE_FORKED,
            command_id=None,
            data=msgspec.json.encode(fork).decode(),
            metadata=None,
        )
        rows, head = chain.extend(head, [entry], head.recorded_at)
        chain.insert(connection, rows)
        connection.execute("INSERT INTO timelines VALUES (?, ?)", (timeline, head.position))
        connection.execute("COMMIT")
    finally:
        connection.close()
    return head.position


def copy_of(store: Path) -> bytes:
    """The bytes of a stopped service's store."""
    connection = apsw.Connection(str(store))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get  # noqa: B018 - runs it
    connection.close()
    return store.read_bytes()


def _timelines(store: Path) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(store))
    try:
        return list(connection.execute("SELECT timeline, first_position FROM timelines ORDER BY timeline"))
    finally:
        connection.close()


@asynccontextmanager
async def writer_held(service: Service) -> AsyncIterator[None]:
    """Holds the writer for the length of the block; commands wait."""
    loop = asyncio.get_running_loop()
    release: asyncio.Future[None] = loop.create_future()
    entered = asyncio.Event()

    async def waits() -> None:
        entered.set()
        await release

    def errand(connection: apsw.Connection) -> None:
        asyncio.run_coroutine_threadsafe(waits(), loop).result(30)

    service.leading.writer.call(errand, lambda result: None)
    await entered.wait()
    try:
        yield
    finally:
        release.set_result(None)
