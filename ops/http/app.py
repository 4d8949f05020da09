"""The HTTP application: the one place where routes, layers and error handlers are put together.

Routes come as lists, made by `routing.route` with the role that each route needs. The API's routes are in
`routes/api.py`; the service passes in those of pages.
"""

from collections.abc import Collection, Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from domain.errors import Refusal
from hyperpage_client.contract.headers import (
    ACTOR,
    CAUSATION_ID,
    CORRELATION_ID,
    MINIMUM_POSITION,
    POSITION,
    TIMELINE,
    TRACEPARENT,
)
from ops.http.access.authentication import Access
from ops.http.backend import Backend
from ops.http.layers.counting import CountingMiddleware
from ops.http.layers.guard import GuardMiddleware
from ops.http.layers.incidents import IncidentMiddleware
from ops.http.layers.limits import LimitsMiddleware
from ops.http.layers.security_headers import SecurityHeadersMiddleware
from ops.http.openapi import document, page
from ops.http.problem import answer_no_such_place, answer_refusal
from ops.http.refusals import HttpRefusal
from ops.http.routes import api
from ops.http.routes.streaming import Slots
from ops.http.routing import RouteEntry, places
from ops.http.shared_answers import SharedAnswers
from ops.metrics.http_counts import HttpCounts

# The headers that pages of other origins may send and read, if the settings allow some origins.
_SENT_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"),
    *(ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT, MINIMUM_POSITION),
)
_READ_HEADERS = ("ETag", "Link", "Location", "Retry-After", POSITION, TIMELINE)


ANSWERS = (*api.ROUTES, *document.ROUTES, *page.ROUTES)


def application(
    backend: Backend,
    access: Access,
    event_streams: Slots,
    counts: HttpCounts,
    *,
    pages: Iterable[RouteEntry] = (),
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    any_host: bool = False,
    requests_per_second: float = 0,
    hsts_seconds: int = 0,
) -> ASGIApp:
    """The application that serves everything over HTTP.

    `pages` are routes beside those of the API. `hosts` are the host names of the service beside those of the
    loopback; with `any_host`, any name is allowed once a token was made, unless `access` is open to callers
    without a token. Pages of `origins` may use the API.
    """
    app = Starlette(
        routes=places((*ANSWERS, *pages)),
        exception_handlers={
            Refusal: answer_refusal,
            HttpRefusal: answer_refusal,
            HTTPException: answer_no_such_place,
        },
    )
    # A path has one spelling: no redirects.
    app.router.redirect_slashes = False
    app.state.backend = backend
    app.state.access = access
    app.state.event_streams = event_streams
    app.state.shared_answers = SharedAnswers()
    layers: ASGIApp = app
    if origins:
        layers = CORSMiddleware(
            layers,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(_SENT_HEADERS),
            expose_headers=list(_READ_HEADERS),
        )
    layers = GuardMiddleware(
        layers,
        hosts=hosts,
        origins=origins,
        is_open=lambda: any_host and not access.is_open and access.tokens.were_made,
    )
    layers = LimitsMiddleware(layers, per_second=requests_per_second)
    layers = IncidentMiddleware(layers)
    layers = SecurityHeadersMiddleware(layers, hsts_seconds=hsts_seconds)
    return CountingMiddleware(layers, counts)
