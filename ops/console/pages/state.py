"""Application state: the values of its keys, now and before: `state.html`, `state_key.html`."""

from typing import Any

from starlette.responses import Response

from bus.contract import codec
from domain.errors import NotFound
from ops.console.routing import action, page
from ops.console.visit import Visit, whole_number

PAGE_ROWS = 100
HISTORY_EVENTS = 50


async def show_state(visit: Visit) -> Response:
    """The keys in order, with their values."""
    prefix, after = visit.parameter("prefix"), visit.parameter("after")
    listed = await visit.query("app_state.list", prefix=prefix, after=after, limit=PAGE_ROWS)
    counted = await visit.query("app_state.count", prefix=prefix)
    return visit.render(
        "state/state.html",
        rows=listed["items"],
        next=listed["next"],
        wanted_prefix=prefix,
        count=counted["count"],
        is_first=after is None,
    )


async def show_key(visit: Visit) -> Response:
    """The value of a key, its value at a position, and its history."""
    key, position = visit.request.path_params["key"], visit.number("position")
    now = await visit.row("app_state.get", key=key)
    events, has_more = await visit.history("app_state", key, HISTORY_EVENTS)
    if now is None and not events:
        raise NotFound(f"the key {key[:200]} never held anything")
    return visit.render(
        "state/state_key.html",
        key=key,
        row=now,
        at=position,
        then=None if position is None else await visit.row("app_state.as_of", key=key, position=position),
        events=events,
        has_more=has_more,
    )


async def change_key(visit: Visit) -> Response:
    """Sets or deletes a key, if it has not changed since the page was shown."""
    key = visit.request.path_params["key"]
    version = whole_number(visit.form.text("version"), "the page says which version it shows", path="version")
    if visit.form.text("verb") == "delete":
        await visit.command("app_state.delete", {"key": key}, expected_version=version)
        visit.tell("The key holds nothing any more")
    else:
        value = codec.decode(Any, visit.form.text("value").encode())
        await visit.command("app_state.set", {"key": key, "value": value}, expected_version=version)
        visit.tell("The key holds the new value")
    return visit.go(visit.here)


ROUTES = [
    page("/app_state", show_state),
    page("/app_state/{key:path}", show_key),
    action("/app_state/{key:path}", change_key),
]
