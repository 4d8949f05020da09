"""Logging in and out: `login.html`."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ops.console.rendering import PREFIX
from ops.console.routing import action
from ops.console.visit import HTML, Visit, local_address, write
from ops.http.forms import read_form
from ops.http.refusals import TooManyRequests, Unauthorized
from ops.http.routing import access_of, route

PATH = f"{PREFIX}/login"


async def show(request: Request) -> Response:
    """The page that asks for a token."""
    wanted = local_address(request.query_params.get("next", ""))
    if not access_of(request).tokens.required:
        # Nobody has a token, and nobody needs one.
        return RedirectResponse(wanted, 303)
    return _ask(wanted)


async def log_in(request: Request) -> Response:
    """A session for a visitor who has a token; else the page again, with the reason."""
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
    """The end of a session."""
    access = access_of(visit.request)
    access.end_session(visit.request)
    response = RedirectResponse(PATH, 303)
    access.delete_cookie(response)
    return response


def _ask(wanted: str, refusal: Unauthorized | TooManyRequests | None = None) -> Response:
    text = write("login.html", wanted=wanted, problem=None if refusal is None else refusal.message)
    return Response(text, 200 if refusal is None else refusal.number, media_type=HTML)


ROUTES = [
    route(PATH, show, role=None, operation=None),
    route(PATH, log_in, role=None, operation=None, methods=("POST",)),
    action("/logout", log_out, role="read"),
]
