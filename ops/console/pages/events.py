"""The stream browser, one event, and causes and effects: `events.html`, `event.html`, `chain.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import Invalid, NotFound, Refusal
from domain.messages import split_stream
from ops.console.rendering import PREFIX, stream_link
from ops.console.routing import page
from ops.console.shown_events import Shown, shown
from ops.console.visit import Visit, is_whole, said_of
from ops.http.meaning import key_fields
from projections.tables import TABLES

PAGE_EVENTS = 50
FILTERS = ("stream", "table", "type", "correlation_id")
# The deepest level of the tree; events below it are shown at this level.
DEEPEST = 12
# Columns that change with every event, and so are not shown as changes.
_OF_THE_ROW = frozenset({"version", "position"})


async def show_events(visit: Visit) -> Response:
    """The log backwards from its end or from a position; by stream, table, type or correlation id."""
    if (position := visit.number("position")) is not None:
        return visit.go(f"{PREFIX}/events/{position}")
    given = {name: visit.parameter(name) for name in FILTERS}
    if given["stream"] and (version := visit.number("version")) is not None:
        return visit.go(f"{PREFIX}/events/{await _position_of(visit, given['stream'], version)}")
    if given["stream"]:
        # A stream belongs to one table already.
        given["table"] = None
    found: dict[str, Any] = {"items": [], "next": None}
    refused: Refusal | None = None
    try:
        found = await visit.query("events.find", **given, before=visit.number("before"), limit=PAGE_EVENTS)
    except (Invalid, NotFound) as refusal:
        # Shown with the filters as they were filled in, so that the user can correct them.
        refused = refusal
    stream = given["stream"]
    row = stream_link(stream) if stream and "/" in stream else None
    return visit.render(
        "log/events.html",
        200 if refused is None else refused.number,
        problem=None if refused is None else said_of(refused),
        events=shown(found["items"]),
        next=found["next"],
        given=given,
        tables=[*TABLES, "system"],
        is_first=visit.number("before") is None,
        row=row if row and "/events?" not in row else None,
    )


async def _position_of(visit: Visit, stream: str, version: int) -> int:
    """The position of the event that brought a stream to a version.

    Raises:
        NotFound: there is none.
    """
    table, key = split_stream(stream)
    nothing = NotFound(f"{stream[:200]} has no version {version}")
    if table not in TABLES or version < 1:
        raise nothing
    fields = key_fields(table, key)
    events = await visit.query(f"{table}.history", **fields, after=version - 1, limit=1)
    if not events["items"]:
        raise nothing
    return int(events["items"][0]["sequence"])


async def show_chain(visit: Visit) -> Response:
    """All events with a correlation id, with their causes and effects."""
    correlation_id = visit.parameter("correlation_id")
    found = await visit.query("events.chain", correlation_id=correlation_id)
    return visit.render(
        "log/chain.html",
        correlation_id=correlation_id,
        nodes=as_tree(found["items"]),
        is_complete=found["complete"],
    )


def as_tree(items: list[dict[str, Any]]) -> list[tuple[int, int | None, Shown]]:
    """Events as a tree, causes before their effects: depth, position of the cause, and event."""
    children: dict[int | None, list[tuple[int | None, Shown]]] = {}
    for item in items:
        (event,) = shown([item["event"]])
        children.setdefault(item["cause"], []).append((item["cause"], event))
    tree: list[tuple[int, int | None, Shown]] = []
    # Reversed, since events are popped from the end of the list.
    waiting = [(0, *one) for one in reversed(children.get(None, []))]
    while waiting:
        depth, cause, event = waiting.pop()
        tree.append((depth, cause, event))
        below = min(depth + 1, DEEPEST)
        waiting += [(below, *one) for one in reversed(children.get(event.position, []))]
    return tree


async def show_event(visit: Visit) -> Response:
    """The event at a position, and its row as it was then."""
    if not is_whole(visit.request.path_params["position"]):
        raise NotFound("an event is found by its position, a number")
    position = int(visit.request.path_params["position"])
    chain = await visit.query("events.chain", position=position)
    tree = as_tree(chain["items"])
    event = next((one for _, _, one in tree if one.position == position), None)
    if event is None:
        # The answer holds a bounded part of a large chain, here one without this event.
        read = await visit.query("events.read", after=position - 1, limit=1)
        (event,) = shown(read["items"])
    row, before = await _row(visit, event, position), await _row(visit, event, position - 1)
    return visit.render(
        "log/event.html",
        event=event,
        tree=tree,
        is_complete=chain["complete"],
        row=row,
        changes=_changes(before, row),
        has_rows=split_stream(event.stream)[0] in TABLES,
        neighbours=await _neighbours(visit, event),
    )


async def _row(visit: Visit, event: Shown, position: int) -> dict[str, Any] | None:
    """The row of the event's stream as it was at a position, if there was one."""
    table, key = split_stream(event.stream)
    if table not in TABLES:
        return None
    return await visit.row(f"{table}.as_of", **key_fields(table, key), position=position)


def _changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[tuple[str, Any, Any]]:
    """The columns that differ, with old and new value; `None` stands for no value."""
    before, after = before or {}, after or {}
    return [
        (name, before.get(name), after.get(name))
        for name in after | before
        if name not in _OF_THE_ROW and before.get(name) != after.get(name)
    ]


async def _neighbours(visit: Visit, event: Shown) -> tuple[int | None, int | None]:
    """The positions of the events before and after one in its stream."""
    earlier = await visit.query("events.find", stream=event.stream, before=event.position, limit=1)
    later = await visit.query("events.read", after=event.position, stream=event.stream, limit=1)
    return tuple(  # type: ignore[return-value]  # of two
        int(found["items"][0]["sequence"]) if found["items"] else None for found in (earlier, later)
    )


ROUTES = [
    page("/events", show_events),
    page("/events/-/chain", show_chain),
    page("/events/{position}", show_event),
]
