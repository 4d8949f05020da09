"""Leaders, logs of frames with a broker and without, and files that follow these logs."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from bus.log.cloud_events import Origin, read_origin
from bus.replication.applying import Applier
from bus.replication.frame import FORMAT, Frame, frame_of
from bus.replication.log_stream import LogStream
from bus.replication.replicating import Replicator
from bus.replication.terms import Claim, take_term
from bus.writing.content import Content
from migrations import runner
from migrations.connection import open_writer, write_transaction
from ops.store.opening import open_store
from ops.store.tables import Tables
from tests.support.clusters.nats_servers import answered
from tests.support.stores.relaying import NAMES, Broker, connect
from tests.support.stores.writing import TABLES, Store, dump_tables

STORE_ID = "store-1"


class RecordedFrames:
    """Records what a writer stores, as the frames that a log would have."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def store(self, content: Content) -> None:
        self.frames.append(frame_of(content, store_id=STORE_ID, timeline=1, term=1))

    def not_committed(self) -> None:
        raise AssertionError("a file took everything")


class FollowedFile:
    """A follower's file."""

    def __init__(self, path: Path) -> None:
        self.connection, self.origin = opened(path, STORE_ID)
        self.applier = self.opened()

    def opened(self) -> Applier:
        """An applier that has to read from the file how far it is, as after a start."""
        origin = Origin(STORE_ID, read_origin(self.connection).timelines)
        self.applier = Applier(self.connection, Tables(), origin, cache_capacity=2)
        return self.applier

    def apply(self, frames: Sequence[Frame]) -> None:
        self.applier.apply(frames)


@contextmanager
def followed_file(path: Path) -> Iterator[FollowedFile]:
    followed = FollowedFile(path)
    try:
        yield followed
    finally:
        followed.connection.close()


def replicated_content(connection: apsw.Connection) -> dict[str, list[Any]]:
    """All content that is equal in the files of a leader and of a follower."""
    names = ("events", *TABLES, "snapshots", "command_answers", "job_leases")
    found: dict[str, list[Any]] = {**dump_tables(connection, names)}
    return found


async def lose_tail(broker: Broker, count: int) -> None:
    """Removes the last messages of the stream of frames, as a power cut of the broker may."""
    report = await broker.api.report(NAMES.log)
    assert report is not None
    kept = (await broker.messages(NAMES.log))[:-count]
    await broker.api.delete(NAMES.log)
    await answered(partial(broker.api.create, report.config))
    for message in kept:
        assert await broker.api.store(NAMES.frames, message.payload, {}) == message.sequence


class Led:
    """A store that leads a term; `ended` has the reasons why it no longer does."""

    def __init__(self, store: Store, replicator: Replicator, ended: list[str]) -> None:
        self.store = store
        self.replicator = replicator
        self.ended = ended


@asynccontextmanager
async def leading(
    broker: Broker,
    path: Path,
    name: str = "a",
    *,
    store_id: str | None = None,
    hold_seconds: float = 30,
    form: Callable[[], int] = lambda: FORMAT,
) -> AsyncIterator[Led]:
    """A store at a path that leads, with everything in the log; a new store gets the given id."""
    connection, origin = opened(path, store_id)
    try:
        log = LogStream(broker.connection, NAMES, origin.store_id)
        timeline = origin.timelines[-1][0]
        applier = Applier(connection, Tables(), origin)
        await log.prepare(1, timeline=timeline, position=applier.head.position)
        term = await take_term(log, applier, Claim(name=name, form=form()))
    finally:
        connection.close()
    ended: list[str] = []
    replicator = Replicator(
        partial(connect, broker.server),
        NAMES,
        term,
        on_end=ended.append,
        hold_seconds=hold_seconds,
        form=form,
    )
    store = Store(path, next_upkeep=math.inf, replication=replicator)
    store.writer.thread.ending.push_async_callback(replicator.close)
    try:
        yield Led(store, replicator, ended)
    finally:
        await asyncio.to_thread(store.close)


def opened(path: Path, store_id: str | None = None) -> tuple[apsw.Connection, Origin]:
    """The file of a store; a new one has that id, or one of its own."""
    if store_id is not None and not path.exists():
        connection = open_writer(path)
        runner.up(connection)
        with write_transaction(connection):
            connection.execute("INSERT INTO store VALUES (?, 0)", (store_id,))
            connection.execute("INSERT INTO timelines VALUES (1, 1)")
        connection.close()
    return open_store(path, cache_kib=1024)
