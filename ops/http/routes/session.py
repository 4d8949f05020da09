"""Logging a browser in and out: `/session`.

GET     the caller, and the CSRF token that pages send back with each change
POST    {"token": …}, as JSON or as a form: opens a session, kept in a cookie
DELETE  ends the session
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from ops.contract.shapes import TEXT, nullable, object_of
from ops.http.access.roles import Principal
from ops.http.access.sessions import CSRF_HEADER
from ops.http.forms import FORM, is_form, read_form
from ops.http.operations import JSON, Operation, answer, empty, reference
from ops.http.routing import access_of, json_response, route

PATH = "/session"


class LogIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token."""

    token: str


async def who_am_i(request: Request) -> Response:
    """The caller.

    A browser with a session also gets the token that its pages send back.
    """
    access = access_of(request)
    session = access.session(request)
    principal = access.principal(request)
    return json_response(_described(principal, None if session is None else session.csrf_token))


async def log_in(request: Request) -> Response:
    """Opens a session for a browser, kept in a cookie."""
    access = access_of(request)
    if is_form(request):
        token = (await read_form(request)).said("token")
    else:
        token = codec.decode(LogIn, await request.body()).token
    access.end_session(request)
    secret, session = access.log_in(request, token)
    response = json_response(_described(session.principal, session.csrf_token))
    access.set_cookie(request, response, secret)
    return response


async def log_out(request: Request) -> Response:
    """Ends the session."""
    response = Response(status_code=204)
    access_of(request).end_session(request)
    access_of(request).delete_cookie(response)
    return response


def _described(principal: Principal, csrf_token: str | None) -> bytes:
    described: dict[str, Any] = {"name": principal.name, "role": principal.role, "csrf_token": csrf_token}
    return codec.encode(described)


SCHEMAS: Mapping[str, type[msgspec.Struct]] = {"log_in": LogIn}
_WHO = answer("Who asks.", object_of({"name": TEXT, "role": TEXT, "csrf_token": nullable(TEXT)}))
_TOKEN = {JSON: {"schema": reference("log_in")}, FORM: {"schema": object_of({"token": TEXT})}}

ROUTES = [
    route(PATH, who_am_i, role="read", operation=Operation("session.get", "session", {200: _WHO})),
    route(
        PATH,
        log_in,
        role=None,
        methods=("POST",),
        operation=Operation(
            "session.open",
            "session",
            {200: _WHO},
            problems=(401,),
            body={"required": True, "content": _TOKEN},
            description=f"Whatever it then changes says `{CSRF_HEADER}`: the answer's `csrf_token`.",
        ),
    ),
    route(
        PATH,
        log_out,
        role="read",
        methods=("DELETE",),
        operation=Operation("session.close", "session", {204: empty("It is over.")}),
    ),
]
