"""Liveness, readiness, status and metrics of the service, for monitoring.

    /livez             200 while the service should go on running; otherwise a restart helps
    /readyz            200 while the service does its work, perhaps degraded; 503 otherwise
    /readyz?verbose    the same, and all that `hyperpage status` says, for callers with the role `read`
    /metrics           figures for Prometheus, for callers with the role `read`

The first two need no token, since the programs that ask for them seldom have one, and tell only a status.
"""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Unavailable
from ops.contract.shapes import TEXT, object_of
from ops.http.operations import Operation, answer, empty, parameter
from ops.http.routing import backend_of, json_response, principal_of, route

# The answer holds for this moment only.
_FRESH = {"Cache-Control": "no-store"}


async def answer_livez(request: Request) -> Response:
    """Whether the process is alive; if not, it needs a restart."""
    try:
        is_alive = backend_of(request).now.parts.role.is_alive
    except Unavailable:
        # The service starts, or restores its store, which may take long: a restart would not help.
        is_alive = True
    return _response({"status": "alive" if is_alive else "stuck"}, is_well=is_alive)


async def answer_readyz(request: Request) -> Response:
    """Whether the service can do its work."""
    is_verbose = "verbose" in request.query_params
    if is_verbose:
        principal_of(request).require("read")
    try:
        report = backend_of(request).now.health.report()
    except Unavailable as refusal:
        report = {"status": "unhealthy", "reasons": [refusal.message], "causes": []}
    said = report if is_verbose else {"status": report["status"]}
    return _response(said, is_well=report["status"] != "unhealthy")


async def answer_metrics(request: Request) -> Response:
    """Figures for Prometheus.

    In the format that the scraper prefers.
    """
    metrics = backend_of(request).now.metrics
    # In a thread, since it writes a thousand lines or two, and other requests are to be answered meanwhile.
    body, content_type = await asyncio.to_thread(metrics.exposition, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type, **_FRESH})


def _response(body: dict[str, Any], *, is_well: bool) -> Response:
    return json_response(codec.encode(body), 200 if is_well else 503, _FRESH)


_ALIVE = object_of({"status": {"enum": ["alive", "stuck"]}})
_STATUS = object_of({"status": {"enum": ["healthy", "degraded", "unhealthy"]}})
_EXPOSITION = {kind: {"schema": TEXT} for kind in ("text/plain", "application/openmetrics-text")}
_VERBOSE = parameter(
    "verbose", "query", TEXT, description="With it, in any form, everything is told, for the role `read`."
)

ROUTES = [
    route(
        "/livez",
        answer_livez,
        role=None,
        operation=Operation(
            "livez",
            "service",
            {200: answer("It lives.", _ALIVE), 503: answer("A restart would help.", _ALIVE)},
        ),
    ),
    route(
        "/readyz",
        answer_readyz,
        role=None,
        operation=Operation(
            "readyz",
            "service",
            {200: answer("Healthy or degraded.", _STATUS), 503: answer("Unhealthy.", _STATUS)},
            problems=(401, 403),
            parameters=[_VERBOSE],
        ),
    ),
    route(
        "/metrics",
        answer_metrics,
        role="read",
        operation=Operation(
            "metrics", "service", {200: empty("In the format that Accept prefers.", content=_EXPOSITION)}
        ),
    ),
]
