"""How a route is declared: a path, its methods, the role that it needs, and the function that answers."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ops.http.access import Access
from ops.http.backend import Backend
from ops.http.roles import Principal, Role

Handler = Callable[[Request], Awaitable[Response]]

JSON = "application/json"


def route(path: str, handler: Handler, *, role: Role | None, methods: Sequence[str] = ("GET",)) -> Route:
    """A route for who has that role; for anybody where there is none to have."""

    async def guarded(request: Request) -> Response:
        if role is not None:
            await access_of(request).admit(request, role)
        return await handler(request)

    return Route(path, guarded, methods=list(methods), name=getattr(handler, "__name__", None))


def principal_of(request: Request) -> Principal:
    """Who asks.

    Raises:
        Unauthorized: nobody knows.
    """
    return access_of(request).principal(request)


def backend_of(request: Request) -> Backend:
    """The service behind the application."""
    backend: Backend = request.app.state.backend
    return backend


def access_of(request: Request) -> Access:
    """Who may come in."""
    access: Access = request.app.state.access
    return access


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that is encoded already."""
    return Response(body, status, headers, JSON)
