"""The first page, with the health of the service: `overview.html`."""

import asyncio
from collections import Counter
from itertools import pairwise

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bus.contract import codec
from bus.log import chain
from ops.console.rendering import PREFIX
from ops.console.routing import page
from ops.console.visit import Visit
from ops.http.routing import backend_of, route
from ops.parts import Parts
from projections.jobs.statistics import outcomes

CHART_MINUTES = 30
_MINUTE_MS = 60_000


async def show(visit: Visit) -> Response:
    """How the service is, what it does, and how old its backups are."""
    backend = backend_of(visit.request)
    report = msgspec.json.decode(codec.encode(backend.now.health.report()))
    times, rates, first_at = await asyncio.to_thread(_look_at_log, backend.now.parts, visit.now_ms)
    jobs = (await visit.shared_query("jobs.stats", percentiles=False))["total"]
    return visit.render(
        "overview.html",
        report=report,
        times=times,
        rates=rates,
        first_at=first_at,
        jobs=jobs | {"states": Counter(jobs["states"])},
        # Attempts of the last hour by their outcome.
        ended=outcomes(jobs["attempts"]),
    )


def _look_at_log(parts: Parts, now_ms: int) -> tuple[list[int], list[float], int | None]:
    """The ends of the last minutes, in seconds since the epoch; the events a second in each; the log's begin.

    The begin is the time of the first event, in milliseconds since the epoch; `None` if there is no event.
    """
    ends = [now_ms - minute * _MINUTE_MS for minute in range(CHART_MINUTES, -1, -1)]
    with parts.readers.connection() as connection:
        positions = [chain.position_at(connection, end) for end in ends]
        oldest = chain.read_at(connection, 1)
    rates = [(last - first) / 60 for first, last in pairwise(positions)]
    first_at = None if oldest is None else oldest.recorded_at
    return [end // 1000 for end in ends[1:]], [round(rate, 2) for rate in rates], first_at


async def _to_console(_: Request) -> Response:
    return RedirectResponse(PREFIX, 303)


ROUTES = [page("", show), route("/", _to_console, role=None, operation=None)]
