"""How a page of the console is declared: `page` shows something, `action` changes something.

page    GET: a visitor without a session is sent to the log-in, and from there back to the page
action  POST of a form: needs a session and its CSRF token, and goes on to a page that shows the result
"""

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from bus.incident import internal
from domain.errors import Refusal, Unavailable
from ops.console.rendering import PREFIX
from ops.console.visit import HTML, Visit, local_address, path_of, said_of, write
from ops.http.access.roles import Role
from ops.http.access.sessions import CSRF_FIELD, CSRF_HEADER, is_from_a_page_of
from ops.http.forms import read_form
from ops.http.refusals import Forbidden, HttpRefusal, Unauthorized
from ops.http.routing import RouteEntry, access_of, count_for, principal_of, route

logger = logging.getLogger(__name__)

# The parameter that tells the log-in page that a form was sent after the end of its session.
UNDONE = "undone"

# In a request: a script sends the form. In the answer: the address to go to, since scripts cannot see where a
# redirection leads.
GO_ON = "hyperpage-go-on"

Handler = Callable[[Visit], Awaitable[Response]]


def page(path: str, handler: Handler, *, role: Role = "read") -> RouteEntry:
    """A page of the console, for visitors with a role."""
    return _declared("GET", path, handler, role)


def action(path: str, handler: Handler, *, role: Role = "operate") -> RouteEntry:
    """The answer to a form, for visitors with a role; a refusal is shown on the page that has the form."""

    async def act(visit: Visit) -> Response:
        visit = msgspec.structs.replace(visit, form=await read_form(visit.request))
        said = visit.request.headers.get(CSRF_HEADER, visit.form.text(CSRF_FIELD))
        if not is_from_a_page_of(visit.session, said):
            access_of(visit.request).attempts.forbidden(
                visit.request, visit.principal, "a page of the session"
            )
            raise Forbidden("the page that sent this is not of this session", hint="load it again")
        try:
            return await handler(visit)
        except Refusal as refusal:
            if isinstance(refusal, Unavailable) and GO_ON in visit.request.headers:
                # The script shows this in the open page: the page itself may not load for a while.
                return refused(visit.request, refusal)
            visit.tell(said_of(refusal), "bad")
            back = local_address(visit.form.text("back", visit.here))
            visit.keep_typed(back, refusal)
            return visit.go(back)
        except HttpRefusal as refusal:
            return refused(visit.request, refusal)

    return _declared("POST", path, act, role)


def _declared(method: str, path: str, handler: Handler, role: Role) -> RouteEntry:
    async def answer(request: Request) -> Response:
        try:
            principal = principal_of(request)
            access_of(request).require(request, principal, role)
            count_for(request, principal)
            cookie, session = access_of(request).session_for_page(request)
            visit = Visit(request=request, principal=principal, session=session, cookie=cookie)
            return _as_asked(request, await handler(visit))
        except Unauthorized:
            if method == "GET":
                return _to_log_in(request)
            return _as_asked(request, await _back_to_log_in(request))
        except (Refusal, HttpRefusal) as refusal:
            return refused(request, refusal)
        except ClientDisconnect:
            raise
        except Exception as error:
            return refused(request, internal(logger, "a page failed", error, path=path_of(request)))

    return route(PREFIX + path, answer, role=None, operation=None, methods=(method,))


def _as_asked(request: Request, response: Response) -> Response:
    """The response; for a script, a redirection is turned into a header with the address."""
    if GO_ON in request.headers and isinstance(response, RedirectResponse):
        response.status_code = 200
        response.headers[GO_ON] = response.headers["location"]
        del response.headers["location"]
    return response


def refused(request: Request, refusal: Refusal | HttpRefusal) -> Response:
    """A page that says what was refused, and why."""
    is_away = isinstance(refusal, Unavailable)
    text = write("refused.html", refusal=refusal, is_away=is_away and request.method == "GET")
    headers = refusal.headers if isinstance(refusal, HttpRefusal) else {}
    return Response(text, refusal.number, headers, HTML)


def _to_log_in(request: Request) -> Response:
    is_part = "hx-request" in request.headers
    if is_part:
        # A script asked for a part of a page. The whole page goes to the log-in, which checks the address.
        page_of_it = urlsplit(request.headers.get("hx-current-url", ""))
        wanted = urlunsplit(("", "", page_of_it.path, page_of_it.query, ""))
    else:
        wanted = path_of(request) + (f"?{request.url.query}" if request.url.query else "")
    where = f"{PREFIX}/login"
    if wanted not in ("", PREFIX):
        where += f"?{urlencode({'next': wanted})}"
    if is_part:
        return Response(status_code=401, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


async def _back_to_log_in(request: Request) -> Response:
    """A redirection to the log-in, which says that the form was not carried out, and leads back to it."""
    form = await read_form(request)
    wanted = local_address(form.text("back", path_of(request)))
    return RedirectResponse(f"{PREFIX}/login?{urlencode({'next': wanted, UNDONE: 'yes'})}", 303)
