"""Queries of the log: the events of a stream or of a part of the log, and a row as it was."""

import glob
from collections.abc import Callable, Iterable

import apsw

from bus.contract import codec
from bus.contract.log_requests import ReadEvents
from bus.contract.rights import EVERYTHING, Rights
from bus.log import chain
from bus.log.cloud_events import read_origin, scan_events, stream_events
from bus.log.states import read_aggregate
from domain.catalogue import BY_TABLE
from domain.decider import Aggregate
from domain.errors import Forbidden, Invalid, NotFound
from domain.messages import split_stream, stream_name

# How many rows one reading of the log looks at, however few of them the filter lets through.
MAXIMUM_SCANNED_ROWS = 10_000
# The bytes of an answer beside its items.
_ENVELOPE_BYTES = 100


class Items:
    """The items of an answer, each as JSON: at most `limit` of them, and no more than fit into a message."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[bytes] = []
        self._size_bytes = 0

    def take(self, item: bytes) -> bool:
        """Whether there was room for one more. The first is taken however large it is."""
        self._size_bytes += len(item) + 1
        is_too_large = self._size_bytes > codec.MAXIMUM_ANSWER_BYTES - _ENVELOPE_BYTES
        if len(self._items) == self._limit or (self._items and is_too_large):
            return False
        self._items.append(item)
        return True

    def take_all(self, numbered: Iterable[tuple[int, bytes | None]], before: int) -> tuple[int, bool]:
        """Takes items until there is no room for one; None takes no room.

        The number of the last item that was passed (`before` if none was), and whether it was the end.
        """
        last = before
        for number, item in numbered:
            if item is not None and not self.take(item):
                return last, False
            last = number
        return last, True

    def __len__(self) -> int:
        return len(self._items)

    def as_json(self) -> bytes:
        """The items as a JSON array."""
        return b"[" + b",".join(self._items) + b"]"


def history(connection: apsw.Connection, table: str, key: str, after: int, limit: int) -> bytes:
    """A stream's events that follow version `after`: `{"items": […], "next": version or null}`.

    Raises:
        NotFound: the stream is empty.
    """
    events = stream_events(connection, read_origin(connection), stream_name(table, key), after)
    items = Items(limit)
    last, is_all = items.take_all(events, 0)
    following = None if is_all else last
    if not items and not chain.has_stream(connection, stream_name(table, key)):
        raise NotFound(f"there is no stream {stream_name(table, key)}")
    return b'{"items":%s,"next":%s}' % (items.as_json(), codec.encode(following))


def as_of(
    connection: apsw.Connection,
    table: str,
    key: str,
    position: int | None,
    time_ms: int | None,
    row_json: Callable[[str, Aggregate], bytes | None],
) -> bytes:
    """The row of an aggregate as it was at a position, or at a time (milliseconds since the epoch).

    Raises:
        Invalid: not exactly one of the two is given.
        NotFound: there was no such row then.
    """
    if (position is None) == (time_ms is None):
        raise Invalid("either a position or a time", path="$")
    if position is None:
        position = chain.position_at(connection, time_ms or 0)
    row = row_json(table, read_aggregate(connection, table, key, up_to_position=position))
    if row is None:
        raise NotFound(f"there was no {stream_name(table, key)} at position {position}", position=position)
    return row


def read_events(connection: apsw.Connection, query: ReadEvents, rights: Rights = EVERYTHING) -> bytes:
    """Events in order: `{"items": […], "next": …, "head": …, "store_id": …, "timelines": […]}`.

    `next` is what to pass as `after` for the following page, and null at the head of the log, whose
    position is `head`. `timelines` are those of the log, each with its first position. With limited rights,
    it is as if there were no other events than those that the user may see, and forks.
    """
    if query.table is not None and query.stream is not None:
        raise Invalid("either a table or a stream", path="$")
    streams = _patterns(query, rights)
    origin = read_origin(connection)
    head = chain.read_head(connection).position
    items = Items(query.limit)
    events = scan_events(connection, origin, query.after, streams=streams, limit=MAXIMUM_SCANNED_ROWS)
    last, _ = items.take_all(events, query.after)
    following = last if last < head else None
    return b'{"items":%s,"next":%s,"head":%d,"store_id":%s,"timelines":%s}' % (
        items.as_json(),
        codec.encode(following),
        head,
        codec.encode(origin.store_id),
        codec.encode(origin.timelines),
    )


def _patterns(query: ReadEvents, rights: Rights) -> list[str]:
    if rights.is_everything:
        return [pattern_of(query.table, query.stream)]
    table = query.table if query.stream is None else split_stream(query.stream)[0]
    tables = BY_TABLE.keys() if table is None else {table}
    own = [one for one in tables if rights.may_read(one) or rights.may_follow(one)]
    if table not in (None, *own, "system"):
        raise Forbidden(f"the events of {table} are not this user's")
    if query.stream is not None:
        is_own = table == "system" or rights.has_key(split_stream(query.stream)[1])
        # GLOB matches nothing with an empty pattern.
        return [glob.escape(query.stream) if is_own else ""]
    beginnings = [f"{one}/{key}" for one in own for key in rights.keys or ("",)]
    return ["system/*", *(f"{glob.escape(one)}*" for one in beginnings)]


def pattern_of(table: str | None, stream: str | None) -> str:
    """A pattern (GLOB) of one stream, or else of one table's, or else of all."""
    if stream is not None:
        return glob.escape(stream)
    return "*" if table is None else f"{glob.escape(table)}/*"
