"""One event: its data, what it changed, and its causes and effects. `event.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import NotFound
from domain.messages import split_stream
from ops.console.pages.streams import as_tree
from ops.console.routing import page
from ops.console.shown_events import Shown, shown
from ops.console.visit import Visit, is_whole
from ops.http.meaning import key_fields
from projections.tables import TABLES

# Columns that change with every event and say nothing of it.
_OF_THE_ROW = frozenset({"version", "position"})


async def show_event(visit: Visit) -> Response:
    """The event at a position, and its row as it was then."""
    if not is_whole(visit.request.path_params["position"]):
        raise NotFound("an event is found by its position, a number")
    position = int(visit.request.path_params["position"])
    chain = await visit.query("events.chain", position=position)
    tree = as_tree(chain["items"])
    event = next((one for _, _, one in tree if one.position == position), None)
    if event is None:
        # The chain is so large that it ends before this event.
        read = await visit.query("events.read", after=position - 1, limit=1)
        (event,) = shown(read["items"])
    row, before = await _row(visit, event, position), await _row(visit, event, position - 1)
    return visit.render(
        "event.html",
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
    """The columns that differ, with old and new value; `None` where there was no value."""
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


ROUTES = [page("/events/{position}", show_event)]
