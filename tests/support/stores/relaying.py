"""A store's log, a real nats-server and a relay between them, for tests of what the relay does."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.log import chain
from bus.log.cloud_events import Origin
from bus.log.reader_pool import ReaderPool
from bus.publishing.relay import Relay, RelayState
from bus.publishing.stream_state import StreamError
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StoredMessage
from migrations import runner
from migrations.connection import open_writer
from tests.support.clock import NOW
from tests.support.machines import nats_process
from tests.support.patience import COMES_WITHIN_SECONDS, patiently, until
from tests.support.stores.cloud_events import cloud_event
from tests.support.stores.looking_inside import read_after

NAMES = BusNames()
# The time within which the relay must have published the log, by the contract.
THROUGH_WITHIN_SECONDS = patiently(5.0)


class Store:
    """A log in a file of its own, to which a test appends."""

    def __init__(self, path: Path, store_id: str = "store-1") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.origin = Origin(store_id)
        self.head = chain.Head()
        self.readers = ReaderPool(path)
        self._writer = open_writer(path)
        runner.up(self._writer)
        self._written = 0

    def append(self, count: int, *, size: int = 20) -> list[chain.Row]:
        """Commits events, each different from every other, with data of that size."""
        entries = []
        for _ in range(count):
            number = self._next()
            data = f'{{"n":{number},"pad":"{"x" * size}"}}'
            entries.append(chain.Entry(f"jobs/k.{number}", 1, "job.enqueued.v1", None, data, None))
        return self._commit(entries)

    def set_state(self, **values: str | None) -> list[chain.Row]:
        """Commits changes of `app_state`, with their rows in the table; None deletes a key."""
        changes = [
            chain.Entry(f"app_state/{key}", self._next(), "app_state.changed.v1", None, "{}", None)
            for key in values
        ]

        def write(rows: list[chain.Row]) -> None:
            for row, (key, value) in zip(rows, values.items(), strict=True):
                self._writer.execute("DELETE FROM app_state WHERE key = ?", (key,))
                if value is not None:
                    self._writer.execute(
                        "INSERT INTO app_state (key, value, updated_at, version, position)"
                        " VALUES (?, ?, ?, ?, ?)",
                        (key, value, row.recorded_at, row.version, row.position),
                    )

        return self._commit(changes, write)

    def set_back(self, position: int) -> list[chain.Row]:
        """Removes the events behind a position, as an older copy of the file lacks them, and returns them."""
        taken = read_after(self._writer, position, limit=1_000_000)
        with self._writer:
            self._writer.execute("DELETE FROM events WHERE position > ?", (position,))
        self.head = chain.read_head(self._writer)
        return taken

    def put_back(self, rows: list[chain.Row]) -> None:
        """Puts the events back that `set_back` removed."""
        with self._writer:
            chain.insert(self._writer, rows)
        self.head = chain.read_head(self._writer)

    def forge(self, position: int, **columns: str | bytes) -> None:
        """Changes a row of the log in place, as no part of the program does."""
        for column, value in columns.items():
            self._writer.execute(f"UPDATE events SET {column} = ? WHERE position = ?", (value, position))

    def damage_text(self, position: int) -> None:
        """Makes a text of the log invalid, as a damaged disk may."""
        update = "UPDATE events SET data = CAST(x'22ff22' AS TEXT) WHERE position = ?"
        self._writer.execute(update, (position,))

    def empty(self, position: int, column: str) -> None:
        """Sets a column of a row to NULL, against the table's constraints, as damage may."""
        strict = self._writer.execute("SELECT sql FROM sqlite_schema WHERE name = 'events'").get
        # A connection keeps the definition that it has read first, so each change needs a new one.
        for there, statement in (
            (strict.replace("STRICT", "").replace("NOT NULL", ""), "SELECT 1"),
            (strict, f"UPDATE events SET {column} = NULL WHERE position = {position}"),
        ):
            with closing(apsw.Connection(str(self.path))) as connection:
                connection.execute(statement)
                connection.pragma("writable_schema", True)
                connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'events'", (there,))

    def restore(self, position: int, *, timeline: int) -> None:
        """Sets the log back and begins a timeline, as a restore does."""
        self.set_back(position)
        kept = [(number, first) for number, first in self.origin.timelines if first <= position]
        self.origin = Origin(self.origin.store_id, (*kept, (timeline, position + 1)))
        self._commit([chain.Entry("system/timeline", timeline, "timeline.forked.v1", None, "{}", None)])

    def rows(self, after: int = 0) -> list[chain.Row]:
        return read_after(self._writer, after, limit=1_000_000)

    def bodies(self, after: int = 0) -> list[bytes]:
        """The messages that the stream must hold of the log, in order."""
        return [cloud_event(self.origin, row) for row in self.rows(after)]

    def close(self) -> None:
        self.readers.close()
        self._writer.close()

    def _commit(
        self, entries: list[chain.Entry], write: Callable[[list[chain.Row]], None] = lambda rows: None
    ) -> list[chain.Row]:
        rows, head = chain.extend(self.head, entries, NOW + self.head.position)
        with self._writer:
            chain.insert(self._writer, rows)
            write(rows)
        self.head = head
        return rows

    def _next(self) -> int:
        self._written += 1
        return self._written


Answer = TypeVar("Answer")


class PatientApi(JetStreamApi):
    """Asks again if a killed broker, on a busy machine, takes longer to come back than a service waits."""

    async def _ask(self, *asked: Any, **named: Any) -> bytes | None:
        return await self._again(partial(super()._ask, *asked, **named))

    async def messages_from(self, stream: str, sequence: int) -> list[StoredMessage]:
        return await self._again(partial(super().messages_from, stream, sequence))

    async def _again(self, read: Callable[[], Awaitable[Answer]]) -> Answer:
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            while True:
                try:
                    return await read()
                except JetStreamError as error:
                    if self._connection.is_connected and not isinstance(error.__cause__, TimeoutError):
                        raise
                await asyncio.sleep(0.01)


class Broker:
    """A nats-server that comes back when it is killed, and the relay user's connection to it."""

    def __init__(self, folder: Path) -> None:
        self.streams = folder / "nats" / "jetstream" / "STREAMS" / "streams"
        self._folder = folder

    async def open(self) -> None:
        await self._serve()
        self.connection = await connect(self.server)
        self.api = PatientApi(self.connection)

    async def close(self) -> None:
        await self.connection.close()
        await self._end()

    async def kill(self) -> None:
        """Kills nats-server; returns when it is back."""
        await nats_process.kill(self.server)

    def signal(self, number: signal.Signals) -> None:
        nats_process.send_signal(self.server, number)

    async def freeze(self) -> None:
        """Stops the process of nats-server, with its connections open; it stands still when this returns."""
        await nats_process.freeze(self.server)

    async def restart(self, meanwhile: Callable[[], object]) -> None:
        """Stops nats-server, and starts it again after something was done to its files."""
        await self._end()
        meanwhile()
        await self._serve()

    async def reconnect(self) -> None:
        """Opens a new connection: a server that was stopped may have another port."""
        await self.connection.close()
        self.connection = await connect(self.server)
        self.api = PatientApi(self.connection)

    async def messages(self, stream: str = NAMES.events) -> list[StoredMessage]:
        """All that a stream holds."""
        found: list[StoredMessage] = []
        while messages := await self.api.messages_from(stream, found[-1].sequence + 1 if found else 1):
            found += messages
        return found

    async def bodies(self) -> list[bytes]:
        return [message.payload for message in await self.messages()]

    async def last_sequence(self) -> int:
        report = await self.api.report(NAMES.events)
        assert report is not None
        return report.state.last_seq

    async def offsets(self) -> list[tuple[int, int, int]]:
        """The segments in the stream's metadata: (timeline, first position, offset)."""
        report = await self.api.report(NAMES.events)
        assert report is not None
        segments = msgspec.json.decode(report.metadata["hyperpage_offsets"])
        return [(one["timeline"], one["first_position"], one["offset"]) for one in segments]

    async def change(self, **settings: Any) -> None:
        """Gives the stream other settings, as an operator would."""
        report = await self.api.report(NAMES.events)
        assert report is not None
        await self.api.update({**report.config, **settings})

    async def purge(self, stream: str = NAMES.events, **which: Any) -> None:
        await self.connection.request(
            f"$JS.API.STREAM.PURGE.{stream}", msgspec.json.encode(which), timeout=30
        )

    async def delete_message(self, sequence: int) -> None:
        await self.connection.request(
            f"$JS.API.STREAM.MSG.DELETE.{NAMES.events}", msgspec.json.encode({"seq": sequence}), timeout=30
        )

    async def _serve(self) -> None:
        self.server = NatsServer(data=self._folder, port=0)
        await self.server.start()
        self._supervising = asyncio.create_task(self.server.supervise())

    async def _end(self) -> None:
        await self.server.stop()
        await self._supervising


@asynccontextmanager
async def broker_in(folder: Path) -> AsyncIterator[Broker]:
    broker = Broker(folder)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def bus_in(folder: Path) -> AsyncIterator[tuple[Broker, Store]]:
    """A broker and a store, each with its files in that folder."""
    store = Store(folder / "hyperpage.db")
    try:
        async with broker_in(folder) as broker:
            yield broker, store
    finally:
        store.close()


async def connect(server: NatsServer) -> LeanClient:
    async def ignore(error: Exception) -> None:
        """Connections break here on purpose."""

    connection = LeanClient()
    await connection.connect(
        server.url_for(RELAY),
        inbox_prefix=private_inbox(RELAY).encode(),
        reconnect_time_wait=0.05,  # type: ignore[arg-type]  # seconds; nats-py says int, and sleeps
        max_reconnect_attempts=-1,
        error_cb=ignore,
    )
    return connection


@asynccontextmanager
async def relay_of(broker: Broker, store: Store) -> AsyncIterator[Relay]:
    """A relay that runs, for the length of the block."""
    relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
    await relay.prepare()
    async with running(relay):
        yield relay


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    """Runs a relay for the length of the block."""
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        relay.stop()
        await task


async def relayed(broker: Broker, store: Store) -> None:
    """Runs a relay until it is through with the log."""
    async with relay_of(broker, store) as relay:
        await through(relay, store)


async def until_stream_holds(broker: Broker, store: Store) -> None:
    """Returns when the stream is the log; it may be away meanwhile."""

    async def is_so() -> bool:
        with suppress(JetStreamError, StreamError):
            return await broker.bodies() == store.bodies()
        return False

    await until(is_so, THROUGH_WITHIN_SECONDS)


async def through(relay: Relay, store: Store) -> RelayState:
    """Returns when the relay has published the whole log; fails if it has not in time."""
    await until(
        lambda: relay.state.position == store.head.position and relay.state.healthy, THROUGH_WITHIN_SECONDS
    )
    return relay.state


def play(scenario: Callable[[Broker, Store], Awaitable[Any]], folder: Path) -> Any:
    """The result of a scenario, run with a broker and a store of its own."""

    async def run() -> Any:
        async with bus_in(folder) as (broker, store):
            return await scenario(broker, store)

    return asyncio.run(run())
