"""How a route is declared, and the functions by which its handler reaches the application."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from bus.contract.rights import Principal as BusPrincipal
from bus.incident import internal
from bus.serving.audit import Actor
from domain.errors import Refusal
from ops.http.access.attempts import address_of
from ops.http.access.authentication import Access
from ops.http.access.roles import Principal, Role
from ops.http.backend import Backend
from ops.http.layers.limits import HEALTH_PATHS
from ops.http.operations import JSON, Operation
from ops.http.refusals import HttpRefusal, MethodNotAllowed, UnsupportedMediaType

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

# How long a request waits for a service that is being restored, before it is told to try again.
ATTACHED_WITHIN_SECONDS = 10.0
# Stands for all methods, if the handler itself tells them apart and refuses wrong ones.
ANY_METHOD = "*"


class RouteEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A path, some methods, the role that they need, and the handler that answers.

    `operations` describe it in `/openapi.json`, by the paths that it stands for there. With `for_users`,
    users of their own may call it, too; the handler checks their rights.
    """

    path: str
    methods: tuple[str, ...]
    role: Role | None
    handler: Handler
    operations: Mapping[str, Operation]
    for_users: bool = False


def route(
    path: str,
    handler: Handler,
    *,
    role: Role | None,
    operation: Operation | Mapping[str, Operation] | None,
    methods: Sequence[str] = ("GET",),
    for_users: bool = False,
) -> RouteEntry:
    """A route for callers with a role, or for all callers if `role` is `None`.

    `operation` describes it in `/openapi.json`: one operation, or several by the paths that the route stands
    for. `None`: it is not part of the API, as a page is.
    """
    if operation is None:
        operation = {}
    elif isinstance(operation, Operation):
        operation = {path: operation}
    summary = (handler.__doc__ or "").partition("\n")[0]
    operations = {
        where: one if one.summary else msgspec.structs.replace(one, summary=summary)
        for where, one in operation.items()
    }
    return RouteEntry(
        path=path,
        methods=tuple(methods),
        role=role,
        handler=handler,
        operations=operations,
        for_users=for_users,
    )


def places(entries: Iterable[RouteEntry]) -> list[BaseRoute]:
    """The routes for Starlette's router: one for each path, in the order of their first entries."""
    by_path: dict[str, dict[str, RouteEntry]] = {}
    for one in entries:
        by_path.setdefault(one.path, {}).update(dict.fromkeys(one.methods, one))
    return [Route(path, _Place(by_method)) for path, by_method in by_path.items()]


class _Place:
    """A path. It accepts every method, so that the answer to a wrong one can name the right ones."""

    def __init__(self, by_method: Mapping[str, RouteEntry]) -> None:
        self._by_method = by_method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        request = Request(scope, receive, send)
        # HEAD is answered like GET.
        entry = self._by_method.get("GET" if request.method == "HEAD" else request.method)
        entry = entry or self._by_method.get(ANY_METHOD)
        if entry is None:
            raise MethodNotAllowed(request.method, ", ".join(self._by_method))
        if entry.role is not None:
            principal = await access_of(request).admit(request, entry.role, for_users=entry.for_users)
            count_for(request, principal)
        if scope["path"] not in HEALTH_PATHS:
            # Waits for the whole request: until then, nothing is done for it, and it holds no place.
            await request.body()
        if entry.role is not None:
            # A small store is restored in a moment: clients then only notice a longer wait.
            await backend_of(request).attached_within(ATTACHED_WITHIN_SECONDS)
        try:
            response = await entry.handler(request)
        except (Refusal, HttpRefusal, ClientDisconnect):
            raise
        except Exception as error:
            # Caught here, since Starlette would answer the error itself, without the incident's id.
            raise internal(
                logger, "a request failed", error, method=request.method, path=scope["path"]
            ) from None
        await response(scope, receive, send)


def principal_of(request: Request) -> Principal:
    """The caller.

    Raises:
        Unauthorized: the caller is not known.
    """
    return access_of(request).principal(request)


def count_for(request: Request, principal: Principal) -> None:
    """Counts a request for its caller's limits.

    Raises:
        Busy: too many requests of this caller are under way.
    """
    if principal.kind != "anybody":
        request.scope["hyperpage.stay"].is_of(f"{principal.kind} {principal.name}")


def backend_of(request: Request) -> Backend:
    """The service behind the application."""
    backend: Backend = request.app.state.backend
    return backend


def access_of(request: Request) -> Access:
    """The access control of the application."""
    access: Access = request.app.state.access
    return access


def bus_principal_of(request: Request) -> BusPrincipal:
    """The caller as the principal of commands and queries."""
    principal = principal_of(request)
    return BusPrincipal(
        principal.name,
        principal.rights,
        is_user=principal.kind == "user",
        is_token=principal.kind == "token",
    )


def actor_of(request: Request) -> Actor:
    """The caller as the actor of an act in the audit log."""
    principal = principal_of(request)
    # No token vouches for an anonymous caller.
    vouched_for = None if principal.kind == "anybody" else principal.name
    return Actor(name=principal.name, via="http", address=address_of(request), principal=vouched_for)


async def json_body(request: Request) -> bytes:
    """The body of a request that declares it as JSON; the content is not checked.

    Raises:
        UnsupportedMediaType: the body is declared as something else, as forms of other sites have to.
    """
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != JSON and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"the body is to be {JSON}", hint=f"send the header Content-Type: {JSON}")
    return body


class _Page(msgspec.Struct):
    next: Any = None


def next_page(request: Request, answer: bytes) -> dict[str, str]:
    """The header `Link` with the address of the next page (RFC 8288), if there is one."""
    following = msgspec.json.decode(answer, type=_Page).next
    if following is None:
        return {}
    parameters = [one for one in request.query_params.multi_items() if one[0] != "after"]
    raw_path = request.scope["raw_path"].decode("ascii")
    return {"Link": f'<{raw_path}?{urlencode([*parameters, ("after", following)])}>; rel="next"'}


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with encoded JSON."""
    return Response(body, status, headers, JSON)
