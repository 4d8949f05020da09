"""What is found where: the one place where routes, layers and errors of the HTTP side are put together.

A further part brings a list of routes, made by `routes.route` with the role that each needs, and is added
here.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from domain.errors import Refusal
from ops.http import routes_messages
from ops.http.access import Access
from ops.http.backend import Backend
from ops.http.problem import IncidentMiddleware, answer_http_exception, answer_refusal
from ops.http.refusals import HttpRefusal


def application(backend: Backend, access: Access) -> ASGIApp:
    """Everything that is served over HTTP."""
    app = Starlette(
        # The first that fits answers: `/api/v1/{…}` last, which takes whatever is left below it.
        routes=[*routes_messages.ROUTES],
        exception_handlers={
            Refusal: answer_refusal,
            HttpRefusal: answer_refusal,
            HTTPException: answer_http_exception,
        },
    )
    # A path has one spelling: no redirects.
    app.router.redirect_slashes = False
    app.state.backend = backend
    app.state.access = access
    return IncidentMiddleware(app)
