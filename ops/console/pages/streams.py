"""The stream browser, `events.html`, and the tree of causes and effects, `chain.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import NotFound
from domain.messages import split_stream
from ops.console.rendering import PREFIX, stream_link
from ops.console.routing import page
from ops.console.shown_events import Shown, shown
from ops.console.visit import Visit
from ops.http.meaning import key_fields
from projections.tables import TABLES

PAGE_EVENTS = 50
FILTERS = ("stream", "table", "type", "correlation_id")
# The deepest level of the tree; events below it are shown at this level.
DEEPEST = 12


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
    found = await visit.query("events.find", **given, before=visit.number("before"), limit=PAGE_EVENTS)
    stream = given["stream"]
    row = stream_link(stream) if stream and "/" in stream else None
    return visit.render(
        "events.html",
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
        "chain.html",
        correlation_id=correlation_id,
        nodes=as_tree(found["items"]),
        is_complete=found["complete"],
    )


def as_tree(items: list[dict[str, Any]]) -> list[tuple[int, int | None, Shown]]:
    """Causes before their effects: the depth of each event, the position of its cause, and the event."""
    children: dict[int | None, list[tuple[int | None, Shown]]] = {}
    for item in items:
        (event,) = shown([item["event"]])
        children.setdefault(item["cause"], []).append((item["cause"], event))
    tree: list[tuple[int, int | None, Shown]] = []
    # Reversed, since the list is taken from its end.
    waiting = [(0, *one) for one in reversed(children.get(None, []))]
    while waiting:
        depth, cause, event = waiting.pop()
        tree.append((depth, cause, event))
        below = min(depth + 1, DEEPEST)
        waiting += [(below, *one) for one in reversed(children.get(event.position, []))]
    return tree


ROUTES = [page("/events", show_events), page("/events/-/chain", show_chain)]
