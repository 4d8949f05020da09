"""A log of frames without a broker, and files that are brought forward by it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bus.log.cloud_events import Origin
from bus.replication.applying import Applier
from bus.replication.frame import Frame, frame_of
from bus.writing.content import Content
from migrations import runner
from migrations.connection import open_writer, write_transaction
from ops.store.tables import Tables
from tests.support.stores.writing import TABLES, dump_tables

STORE_ID = "store-1"


class RecordedFrames:
    """What a writer stores, as the frames that a log would have."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def store(self, content: Content) -> None:
        self.frames.append(frame_of(content, store_id=STORE_ID, timeline=1, term=1))

    def not_committed(self) -> None:
        raise AssertionError("a file took everything")


class FollowedFile:
    """A follower's file."""

    def __init__(self, path: Path) -> None:
        self.connection = open_writer(path)
        runner.up(self.connection)
        with write_transaction(self.connection):
            self.connection.execute("INSERT OR IGNORE INTO store VALUES (?, 0)", (STORE_ID,))
            self.connection.execute("INSERT OR IGNORE INTO timelines VALUES (1, 1)")
        self.origin = Origin(STORE_ID)
        self.applier = self.opened()

    def opened(self) -> Applier:
        """An applier that has to find out by itself where the file is, as after a start."""
        self.applier = Applier(self.connection, Tables(), store_id=STORE_ID, timeline=1, cache_capacity=2)
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
    """All that is equal in the files of a leader and of who follows it."""
    names = ("events", *TABLES, "snapshots", "command_answers", "job_leases")
    found: dict[str, list[Any]] = {**dump_tables(connection, names)}
    return found
