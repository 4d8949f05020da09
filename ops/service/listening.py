"""The HTTP server of a service, with the pages of the console: `http_server`."""

from typing import TYPE_CHECKING

from ops.settings import Settings

if TYPE_CHECKING:
    from ops.http.server import HttpServer


def http_server(settings: Settings) -> "HttpServer | None":
    """A server that does not listen yet; None, with nothing loaded for it, where the settings want none."""
    if settings.no_http:
        return None
    from ops.console.routes import ROUTES
    from ops.http.server import HttpServer

    return HttpServer(settings, ROUTES)
