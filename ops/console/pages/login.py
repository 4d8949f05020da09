"""Logging in and out: `login.html`, and the links of `hyperpage console`."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ops.console.routing import UNDONE, action
from ops.console.visit import HTML, Visit, local_address, said_of, write
from ops.http.access.links import PARAMETER, PATH
from ops.http.forms import read_form
from ops.http.refusals import TooManyRequests, Unauthorized
from ops.http.routing import access_of, route


async def show(request: Request) -> Response:
    """The page that asks for a token; with the code of a link, opens a session and goes to the console."""
    wanted = local_address(request.query_params.get("next", ""))
    if (code := request.query_params.get(PARAMETER)) is not None:
        return _log_in_by_link(request, code, wanted)
    if access_of(request).is_open:
        # No token is needed.
        return RedirectResponse(wanted, 303)
    return _ask(
        wanted, has_ended=access_of(request).has_ended(request), undone=UNDONE in request.query_params
    )


def _log_in_by_link(request: Request, code: str, wanted: str) -> Response:
    purpose = request.headers.get("sec-purpose", request.headers.get("purpose", ""))
    if request.method != "GET" or "prefetch" in purpose:
        # A preview or prefetch of the link, which must not use up its code.
        return Response(status_code=503)
    access = access_of(request)
    try:
        secret, _ = access.log_in_by_link(request, code)
    except (Unauthorized, TooManyRequests) as refusal:
        return _ask(wanted, refusal)
    access.end_session(request)
    # A redirect, so that the code stays neither in the browser's history nor in a referrer.
    response = RedirectResponse(wanted, 303)
    access.set_cookie(request, response, secret)
    return response


async def log_in(request: Request) -> Response:
    """Opens a session for a visitor with a token; otherwise shows the page again, with the reason."""
    form = await read_form(request)
    wanted = local_address(form.said("next"))
    access = access_of(request)
    access.end_session(request)
    try:
        secret, _ = access.log_in(request, form.text("token"))
    except (Unauthorized, TooManyRequests) as refusal:
        return _ask(wanted, refusal)
    response = RedirectResponse(wanted, 303)
    access.set_cookie(request, response, secret)
    return response


async def log_out(visit: Visit) -> Response:
    """Ends the visitor's session."""
    access = access_of(visit.request)
    access.end_session(visit.request)
    response = RedirectResponse(PATH, 303)
    access.delete_cookie(response)
    return response


def _ask(
    wanted: str,
    refusal: Unauthorized | TooManyRequests | None = None,
    *,
    has_ended: bool = False,
    undone: bool = False,
) -> Response:
    problem = None if refusal is None else said_of(refusal)
    text = write("login.html", wanted=wanted, problem=problem, has_ended=has_ended, undone=undone)
    return Response(text, 200 if refusal is None else refusal.number, media_type=HTML)


ROUTES = [
    route(PATH, show, role=None, operation=None),
    route(PATH, log_in, role=None, operation=None, methods=("POST",)),
    action("/logout", log_out, role="read"),
]
