"""The files that pages load, as a package ships them: `ShippedFiles`."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from ops.http.refusals import no_such_place
from ops.http.routing import RouteEntry, route

# Browsers may keep a file for a year: its address has a hash of the content, so new content gets a new one.
_FOR_EVER = "public, max-age=31536000, immutable"


class ShippedFiles:
    """Files of the folder `static` of a package, below `prefix`; `types` has their names and media types."""

    def __init__(self, package: str, prefix: str, types: Mapping[str, str]) -> None:
        self._package = package
        self._prefix = prefix
        self._types = types

    def address_of(self, name: str) -> str:
        """The address of a file."""
        return f"{self._prefix}/static/{name}?v={_read(self._package, name)[1]}"

    @property
    def route(self) -> RouteEntry:
        """The route of the files. It needs no token: they are not secret, and the log-in page loads them."""
        return route(f"{self._prefix}/static/{{name}}", self._answer, role=None, operation=None)

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._types:
            raise no_such_place()
        content, tag = _read(self._package, name)
        # Browsers do not keep a file from an address without the hash, or with that of another release.
        lasting = {"Cache-Control": _FOR_EVER} if request.query_params.get("v") == tag else {}
        return Response(content, headers={"Content-Type": self._types[name], **lasting})


@cache
def _read(package: str, name: str) -> tuple[bytes, str]:
    content = (files(package) / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]
