"""The log as it is asked for: a stream, a part of all, and a row as it was."""

import glob
from collections.abc import Callable, Iterable

import apsw

from bus.contract import codec
from bus.contract.log_requests import ReadEvents
from bus.log import chain
from bus.log.cloud_events import read_origin, scan_events, stream_events
from bus.log.states import read_aggregate
from domain.decider import Aggregate
from domain.errors import Invalid, NotFound
from domain.messages import stream_name

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
        """Takes items for as long as there is room for one that is not None.

        The number of the last that was passed (`before` where there was none), and whether it was the end.
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
        """The array of them."""
        return b"[" + b",".join(self._items) + b"]"


def history(connection: apsw.Connection, table: str, key: str, after: int, limit: int) -> bytes:
    """A stream's events behind version `after`: `{"items": […], "next": version or null}`.

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
        NotFound: there was none then.
    """
    if (position is None) == (time_ms is None):
        raise Invalid("either a position or a time", path="$")
    if position is None:
        position = chain.position_at(connection, time_ms or 0)
    row = row_json(table, read_aggregate(connection, table, key, up_to_position=position))
    if row is None:
        raise NotFound(f"there was no {stream_name(table, key)} at position {position}", position=position)
    return row


def read_events(connection: apsw.Connection, query: ReadEvents) -> bytes:
    """Events in order: `{"items": […], "next": …, "head": …}`.

    `next` is what to pass as `after` for the following page, and null at the head of the log, whose
    position is `head`.
    """
    if query.table is not None and query.stream is not None:
        raise Invalid("either a table or a stream", path="$")
    streams = pattern_of(query.table, query.stream)
    origin = read_origin(connection)
    head = chain.read_head(connection).position
    items = Items(query.limit)
    events = scan_events(connection, origin, query.after, streams=streams, limit=MAXIMUM_SCANNED_ROWS)
    last, _ = items.take_all(events, query.after)
    following = last if last < head else None
    return b'{"items":%s,"next":%s,"head":%d}' % (items.as_json(), codec.encode(following), head)


def pattern_of(table: str | None, stream: str | None) -> str:
    """A pattern (GLOB) of one stream, or else of one table's, or else of all."""
    if stream is not None:
        return glob.escape(stream)
    return "*" if table is None else f"{glob.escape(table)}/*"
