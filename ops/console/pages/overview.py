"""The first page, which says whether all is well: `overview.html`."""

import asyncio
from itertools import pairwise

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bus.contract import codec
from bus.log import chain
from ops.console.pages.jobs import summed
from ops.console.rendering import PREFIX
from ops.console.routing import page
from ops.console.visit import Visit
from ops.http.routing import backend_of, route
from ops.parts import Parts

CHART_MINUTES = 30
_MINUTE_MS = 60_000


async def show(visit: Visit) -> Response:
    """How the service is, what it does, and how old its backups are."""
    backend = backend_of(visit.request)
    report = msgspec.json.decode(codec.encode(backend.now.health.report()))
    times, rates = await asyncio.to_thread(_events_by_minute, backend.now.parts, visit.now_ms)
    statistics = await visit.shared_query("jobs.stats", percentiles=False)
    return visit.render(
        "overview.html",
        report=report,
        times=times,
        rates=rates,
        jobs=summed(statistics, "states"),
        overdue=sum(queue["overdue"] for queue in statistics["queues"].values()),
        # Attempts of the last hour by how they ended.
        ended=summed(statistics, "attempts"),
    )


def _events_by_minute(parts: Parts, now_ms: int) -> tuple[list[int], list[float]]:
    """The ends of the last minutes, in seconds since the epoch, and the events a second in each."""
    ends = [now_ms - minute * _MINUTE_MS for minute in range(CHART_MINUTES, -1, -1)]
    with parts.readers.connection() as connection:
        positions = [chain.position_at(connection, end) for end in ends]
    rates = [(last - first) / 60 for first, last in pairwise(positions)]
    return [end // 1000 for end in ends[1:]], [round(rate, 2) for rate in rates]


async def _to_console(_: Request) -> Response:
    return RedirectResponse(PREFIX, 303)


ROUTES = [page("", show), route("/", _to_console, role=None, operation=None)]
