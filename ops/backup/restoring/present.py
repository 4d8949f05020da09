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
    """Whose the present store is, and where its log ends, which a damaged one may not say."""

    store_id: str
    timelines: Timelines
    head: chain.Head | None

    @property
    def timeline(self) -> int:
        # A store that was never served may have no timeline yet.
        return self.timelines[-1][0] if self.timelines else 0

    def lost_behind(self, position: int) -> int | None:
        """How many of its events come after a position; `None`: it does not say."""
        return None if self.head is None else max(0, self.head.position - position)


def is_nobodys(connection: apsw.Connection) -> bool:
    """Whether a store's file says nothing of whose it is, as one whose beginning was cut off in its WAL."""
    has_table = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'store'").get
    return not has_table or connection.execute("SELECT store_id FROM store").get is None


def read_present(store: Path) -> Present | None:
    """The present store; `None` where there is none, or none that says whose it is."""
    if not store.exists():
        return None
    with suppress(*UNREADABLE), closing(open_reader(store)) as connection:
        if is_nobodys(connection):
            return None
        origin = read_origin(connection)
        head: chain.Head | None = None
        with suppress(*UNREADABLE):
            head = chain.read_head(connection)
        return Present(origin.store_id, origin.timelines, head)
    return None
