"""The present store, as far as it can be read: `read_present`."""

from contextlib import closing, suppress
from pathlib import Path

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import UNREADABLE
from bus.log.cloud_events import read_origin
from migrations.connection import open_reader
from ops.archive.timelines import Timelines


class Present(msgspec.Struct, frozen=True):
    """The identity of the present store, and the end of its log; `None` if a damaged store does not say."""

    store_id: str
    timelines: Timelines
    head: chain.Head | None
    is_empty: bool = False
    """Whether it has neither a log nor an identity."""

    @property
    def timeline(self) -> int:
        # A store that was never served may have no timeline yet.
        return self.timelines[-1][0] if self.timelines else 0

    def lost_behind(self, position: int) -> int | None:
        """How many of its events come after a position; `None` if its end is unknown."""
        return None if self.head is None else max(0, self.head.position - position)


def has_nothing(connection: apsw.Connection) -> bool:
    """Whether a store's file has neither events nor a store id, as after a loss of its whole WAL."""
    has_tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'store'").get
    return (
        not has_tables
        or not connection.execute("SELECT EXISTS (SELECT 1 FROM store) OR EXISTS (SELECT 1 FROM events)").get
    )


def read_present(store: Path) -> Present | None:
    """The present store; `None` if there is no file, or it cannot be read."""
    if not store.exists():
        return None
    with suppress(*UNREADABLE), closing(open_reader(store)) as connection:
        origin = read_origin(connection)
        head: chain.Head | None = None
        with suppress(*UNREADABLE):
            head = chain.read_head(connection)
        return Present(origin.store_id, origin.timelines, head, has_nothing(connection))
    return None
