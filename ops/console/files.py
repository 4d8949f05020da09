"""The files that pages load: style, scripts and icon."""

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from ops.console.rendering import PREFIX
from ops.http.refusals import no_such_place
from ops.http.routing import route

_TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "LICENSES.txt": "text/plain; charset=utf-8",
    "tail.js": "text/javascript; charset=utf-8",
    "uplot.min.css": "text/css; charset=utf-8",
    "uplot.min.js": "text/javascript; charset=utf-8",
}
# Good for ever, since the address has a hash of the content: other content has another address.
_FOR_EVER = "public, max-age=31536000, immutable"


async def answer_file(request: Request) -> Response:
    """One of the files."""
    name = request.path_params["name"]
    if name not in _TYPES:
        raise no_such_place()
    content, tag = _read(name)
    # An address without the hash, or with that of another release, is not to be kept.
    lasting = {"Cache-Control": _FOR_EVER} if request.query_params.get("v") == tag else {}
    return Response(content, headers={"Content-Type": _TYPES[name], **lasting})


def address_of(name: str) -> str:
    """The address of a file."""
    return f"{PREFIX}/static/{name}?v={_read(name)[1]}"


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = (files("ops.console") / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


# For everybody: there is nothing secret in them, and the page for logging in needs them.
ROUTES = [route(f"{PREFIX}/static/{{name}}", answer_file, role=None, operation=None)]
