"""Verifying the tables against the log, and rebuilding them: `projections.html`."""

import asyncio
from typing import Any

from starlette.responses import Response

from domain.errors import Busy
from ops.console.rendering import PREFIX, counted
from ops.console.routing import action, page
from ops.console.visit import Visit
from ops.http.routing import backend_of
from ops.parts import Parts
from projections.tables import TABLE_COLUMNS

PATH = f"{PREFIX}/projections"


async def show_projections(visit: Visit) -> Response:
    """The number of rows of each table, and the progress or result of the last check."""
    parts = backend_of(visit.request).now.parts
    return visit.render(
        "projections.html",
        rows=await asyncio.to_thread(_rows, parts),
        kept=[one for one in backend_of(visit.request).now.health.notes if not one.wants_doing],
        check=None if (leading := parts.role.leading) is None else leading.projections.last,
    )


async def verify(visit: Visit) -> Response:
    """Begins to compare every row with the log."""
    return _begin(visit, "verify", _verified)


async def rebuild(visit: Visit) -> Response:
    """Begins to compare every row with the log, and to correct rows that differ."""
    return _begin(visit, "rebuild", _rebuilt)


def _begin(visit: Visit, verb: str, say: Any) -> Response:
    last = backend_of(visit.request).now.parts.role.require_leading().projections.last
    if last is not None and last.ended_at is None:
        raise Busy("a check is under way", retry_after_ms=1_000)
    return visit.begin(PATH, f"projections.{verb}", say)


def _verified(answer: dict[str, Any]) -> str:
    if answer["equal"]:
        return f"Every row is what the log makes it, up to position {answer['position']}"
    return "There are rows that are not what the log makes them; a rebuild puts them right"


def _rebuilt(answer: dict[str, Any]) -> str:
    if not answer["rebuilt_streams"] and not answer["removed_rows"]:
        return "Every row was what the log makes it: nothing had to be put right"
    return (
        f"Put right: the rows of {counted(answer['rebuilt_streams'], 'stream')};"
        f" gone are {counted(answer['removed_rows'], 'row')} of no stream"
    )


def _rows(parts: Parts) -> dict[str, int]:
    with parts.readers.connection() as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").get for name in TABLE_COLUMNS}


ROUTES = [
    page("/projections", show_projections),
    action("/projections/verify", verify),
    action("/projections/rebuild", rebuild, role="admin"),
]
