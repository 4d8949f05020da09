"""Keeps other sites from using a browser that can reach us: `GuardMiddleware`.

A page of any site can make its browser send requests to every address that the browser reaches, the loopback
included. So the host name in a request must be the service's (a foreign name could be made to point here: DNS
rebinding), and requests that another site caused are refused, except links that a user follows.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

from collections.abc import Callable, Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ops.http.problem import problem
from ops.http.refusals import Forbidden, Misdirected

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class GuardMiddleware:
    """Refuses requests that name another host, or come from another site.

    `hosts` are the names of the service. `is_open` says whether any other name is allowed, too, since a token
    is needed anyway. `origins` are sites whose pages may send requests all the same.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str], is_open: Callable[[], bool]
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Misdirected | Forbidden | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return Misdirected(
                "this host name is none of this service's",
                hint="name it in the setting http_hosts",
            )
        origin = headers.get("origin")
        if origin in self._origins:
            return None
        method = scope["method"]
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (
            # A user follows a link: pages of the other site cannot read the answer.
            method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        ):
            return _foreign()
        if origin is not None and method not in SAFE_METHODS and origin != f"{scope['scheme']}://{host}":
            return _foreign()
        return None

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).lower()
        return name in LOOPBACK_NAMES or name in self._hosts or (bool(name) and self._is_open())


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    # An IPv6 address is in brackets, so a colon after them begins the port.
    return name if name and port.isdigit() and not name.endswith(":") else host


def _foreign() -> Forbidden:
    return Forbidden(
        "another site asked a browser to send this", hint="name its origin in the setting http_origins"
    )
