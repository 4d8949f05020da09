"""Logging a browser in and out: `/session`.

GET     who asks, and the token that pages send back with what changes something
POST    {"token": …}, as JSON or as a form: a session, kept in a cookie
DELETE  its end
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from ops.http.access.authentication import FORM, form_of
from ops.http.access.roles import Principal
from ops.http.routing import access_of, json_response, route

PATH = "/session"


class LogIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token."""

    token: str


async def who_am_i(request: Request) -> Response:
    """Who asks; for a browser with a session, with the token that its pages send back."""
    access = access_of(request)
    session = access.session(request)
    principal = access.principal(request)
    return json_response(_described(principal, None if session is None else session.csrf_token))


async def log_in(request: Request) -> Response:
    """A session for who shows a token."""
    access = access_of(request)
    if request.headers.get("content-type", "").startswith(FORM):
        token = (await form_of(request)).get("token", "")
    else:
        token = codec.decode(LogIn, await request.body()).token
    access.end_session(request)
    secret, session = access.log_in(request, token)
    response = json_response(_described(session.principal, session.csrf_token))
    access.set_cookie(request, response, secret)
    return response


async def log_out(request: Request) -> Response:
    """The end of the browser's session."""
    response = Response(status_code=204)
    access_of(request).end_session(request)
    access_of(request).delete_cookie(response)
    return response


def _described(principal: Principal, csrf_token: str | None) -> bytes:
    described: dict[str, Any] = {"name": principal.name, "role": principal.role, "csrf_token": csrf_token}
    return codec.encode(described)


ROUTES = [
    route(PATH, who_am_i, role="read"),
    route(PATH, log_in, role=None, methods=("POST",)),
    route(PATH, log_out, role="read", methods=("DELETE",)),
]
