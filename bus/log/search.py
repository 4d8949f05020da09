"""Events found by what is in them, from the end of the log, and by their causes."""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from bus.contract import codec
from bus.contract.log_requests import FindChain, FindEvents
from bus.log import chain
from bus.log.answers import positions_of
from bus.log.cloud_events import Origin, cloud_event_sql, read_origin
from bus.log.reading import MAXIMUM_SCANNED_ROWS, Items, pattern_of
from domain.errors import Invalid, NotFound

MAXIMUM_CHAIN = 500
_CORRELATION = "metadata ->> '$.correlation_id'"
_CAUSATION = "metadata ->> '$.causation_id'"
# Spelled as in the indexes; otherwise SQLite would not use these.
_CORRELATED = f"json_valid(metadata) AND {_CORRELATION} = ?"
_CAUSED = f"json_valid(metadata) AND {_CAUSATION} = ?"


def find_events(connection: apsw.Connection, query: FindEvents) -> bytes:
    """Events, the newest first: `{"items": […], "next": …, "head": …}`.

    `next` is what to pass as `before` for the following page, and null where the log begins. A page may hold
    few events, or none, and still have a next one: it looks at a bounded part of the log.
    """
    if query.table is not None and query.stream is not None:
        raise Invalid("either a table or a stream", path="$")
    head = chain.read_head(connection).position
    before = head + 1 if query.before is None else query.before
    items = Items(query.limit)
    last, is_all = items.take_all(_backwards(connection, query, before), before)
    is_scan = query.stream is None and query.correlation_id is None
    # Positions have no gap: this tells whether a scan ended at its limit.
    is_cut = is_scan and before - last == MAXIMUM_SCANNED_ROWS and last > 1
    following = last if is_cut or not is_all else None
    return b'{"items":%s,"next":%s,"head":%d}' % (items.as_json(), codec.encode(following), head)


def _backwards(
    connection: apsw.Connection, query: FindEvents, before: int
) -> Iterator[tuple[int, bytes | None]]:
    """The positions before `before`, backwards, each with its event if that matches the query."""
    conditions, bindings = _conditions(query)
    event = cloud_event_sql(read_origin(connection))
    if query.stream is not None or query.correlation_id is not None:
        # An index leads from one event to the next.
        where = " AND ".join(("position < ?", *conditions))
        order = "version" if query.stream is not None else "position"
        rows = connection.execute(
            f"SELECT position, {event} FROM events WHERE {where} ORDER BY {order} DESC LIMIT ?",
            (before, *bindings, query.limit + 1),
        )
    else:
        meant = " AND ".join(conditions) or "true"
        rows = connection.execute(
            f"SELECT position, iif({meant}, {event}, NULL) FROM events"
            " WHERE position < ? ORDER BY position DESC LIMIT ?",
            (*bindings, before, MAXIMUM_SCANNED_ROWS),
        )
    for position, item in rows:
        yield position, None if item is None else item.encode()


def _conditions(query: FindEvents) -> tuple[list[str], list[Any]]:
    given = (
        ("stream = ?", query.stream),
        ("stream GLOB ?", None if query.table is None else pattern_of(query.table, None)),
        ("type = ?", query.type),
        (_CORRELATED, query.correlation_id),
    )
    meant = [(sql, value) for sql, value in given if value is not None]
    return [sql for sql, _ in meant], [value for _, value in meant]


def find_chain(connection: apsw.Connection, query: FindChain) -> bytes:
    """`{"items": [{"cause": position or null, "event": …}], "complete": bool}`, in the order of the log.

    The cause of an event is the event that it names, or the last one of the command that it names, if that is
    among the items. `complete` is false if there are more events than an answer holds.

    Raises:
        NotFound: there is no event at that position.
    """
    if (query.position is None) == (query.correlation_id is None):
        raise Invalid("either a position or a correlation id", path="$")
    linked = _Chain(connection)
    if query.position is not None:
        linked.begin_at(query.position)
    if query.correlation_id is not None:
        linked.take_correlated(query.correlation_id)
    linked.follow()
    return linked.as_json()


class _Chain:
    """Events linked by causes and correlation ids, found step by step; each step is a look-up in an index."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._origin: Origin = read_origin(connection)
        self._found: dict[int, _Link] = {}
        self._new: list[_Link] = []
        self._correlations: set[str] = set()
        self._commands: dict[str, list[int]] = {}
        self._looked_for: set[tuple[str, int]] = set()
        self._is_complete = True

    def begin_at(self, position: int) -> None:
        self._take("position = ?", position)
        if not self._found:
            raise NotFound(f"there is no event at position {position}", position=position)

    def take_correlated(self, correlation_id: str) -> None:
        if correlation_id not in self._correlations:
            self._correlations.add(correlation_id)
            self._take(_CORRELATED, correlation_id)
            # A correlation id is often the id of the first command.
            self._take_command(correlation_id)

    def follow(self) -> None:
        """Goes up to causes and down to effects, until nothing new turns up."""
        while self._new and self._is_complete:
            link = self._new.pop()
            if link.correlation_id is not None:
                self.take_correlated(link.correlation_id)
            if link.causation_id is not None:
                self._take_cause(link.causation_id)
            if link.command_id is not None:
                self._take_command(link.command_id, near=link.position)
                self._take(_CAUSED, link.command_id)
            self._take(_CAUSED, self._origin.event_id(link.position))

    def as_json(self) -> bytes:
        items = Items(MAXIMUM_CHAIN)
        for position in sorted(self._found):
            link = self._found[position]
            item = b'{"cause":%s,"event":%s}' % (codec.encode(self._cause_of(link)), link.event.encode())
            if not items.take(item):
                self._is_complete = False
                break
        return b'{"items":%s,"complete":%s}' % (items.as_json(), codec.encode(self._is_complete))

    def _cause_of(self, link: "_Link") -> int | None:
        if link.causation_id is None:
            return None
        position = self._named_position(link.causation_id)
        if position is None:
            before = [one for one in self._commands.get(link.causation_id, ()) if one < link.position]
            position = max(before, default=None)
        # An event of the future, or the event itself, is no cause.
        return position if position in self._found and position < link.position else None

    def _take_cause(self, causation_id: str) -> None:
        position = self._named_position(causation_id)
        if position is not None:
            self._take("position = ?", position)
        else:
            self._take_command(causation_id)

    def _named_position(self, event_id: str) -> int | None:
        """The position in an event's id; `None` if it is no such id, or its timeline has no such position."""
        timeline, _, position = event_id.partition("-")
        if not (timeline.isdecimal() and position.isdecimal() and event_id.isascii() and len(position) < 19):
            return None
        found = int(position)
        return found if found >= 1 and self._origin.event_id(found) == event_id else None

    def _take_command(self, command_id: str, near: int | None = None) -> None:
        """Takes the events of a command, around one of them at `near`, or around where it was answered."""
        # Several users may have used the same id, each for a command of its own.
        for answered in (
            (near,) if near is not None else positions_of(self._connection, command_id, MAXIMUM_CHAIN)
        ):
            first = self._neighbours(answered, command_id, "DESC")
            if (command_id, first) not in self._looked_for:
                self._looked_for.add((command_id, first))
                last = self._neighbours(answered, command_id, "ASC")
                self._take("position BETWEEN ? AND ? AND command_id = ?", first, last, command_id)

    def _neighbours(self, position: int, command_id: str, order: str) -> int:
        """The last position in one direction of a command's events around a position: they stand together."""
        comparison = "<" if order == "DESC" else ">"
        for neighbour, its_command in self._connection.execute(
            f"SELECT position, command_id FROM events WHERE position {comparison} ?"
            f" ORDER BY position {order} LIMIT ?",
            (position, MAXIMUM_CHAIN),
        ):
            if its_command != command_id:
                break
            position = neighbour
        return position

    def _take(self, where: str, *bindings: Any) -> None:
        for row in self._connection.execute(
            f"SELECT position, command_id, {_CORRELATION}, {_CAUSATION}, {cloud_event_sql(self._origin)}"
            f" FROM events WHERE {where} ORDER BY position LIMIT ?",
            (*bindings, MAXIMUM_CHAIN + 1),
        ):
            link = _Link(*row)
            if link.position in self._found:
                continue
            if len(self._found) == MAXIMUM_CHAIN:
                self._is_complete = False
                return
            self._found[link.position] = link
            self._new.append(link)
            if link.command_id is not None:
                self._commands.setdefault(link.command_id, []).append(link.position)


class _Link(msgspec.Struct, frozen=True):
    position: int
    command_id: str | None
    correlation_id: str | None
    causation_id: str | None
    event: str
