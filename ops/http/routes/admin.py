"""Administration over HTTP: `POST /api/v1/admin/<area>/<verb>`, and the backups, with paths of their own.

What is carried out is what the subjects `hyperpage.adm.v1.…` carry out, with the same record of who and what.
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Invalid
from ops.backup.requests import RestoreRequest, name_inside
from ops.backup.restore_path import Moment
from ops.http.refusals import no_such_place
from ops.http.routing import actor_of, backend_of, json_body, json_response, route

PREFIX = "/api/v1/admin/"
BACKUPS = "/api/v1/backups"
# It reads whatever file it is told, and none of those came over HTTP.
_NOT_HERE = frozenset({"import.file"})


async def carry_out(request: Request) -> Response:
    """An act of the operator's."""
    name = f"{request.path_params['area']}.{request.path_params['verb']}"
    if name in _NOT_HERE:
        raise no_such_place()
    body = await json_body(request)
    if name == "backup.restore":
        body = restore_of_ours(request, codec.decode(RestoreRequest, body))
    return json_response(codec.encode(await administer(request, name, body)))


async def list_backups(request: Request) -> Response:
    """The backups, newest first."""
    listed = await administer(request, "backup.list", b"")
    # Where they are is nothing to who can only read.
    items = [{name: value for name, value in one.items() if name != "path"} for one in listed["items"]]
    return json_response(codec.encode({"items": items}))


async def create_backup(request: Request) -> Response:
    """A new backup."""
    made = await administer(request, "backup.create", await json_body(request))
    name = made["path"].rpartition("/")[2]
    described = codec.encode({"name": name, "metadata": made["metadata"]})
    return json_response(described, 201, {"Location": f"{BACKUPS}/{name}"})


async def verify_backup(request: Request) -> Response:
    """What a check of a whole backup finds."""
    return await _prove(request, "backup.verify")


async def drill_backup(request: Request) -> Response:
    """What making a store from a backup finds."""
    return await _prove(request, "backup.drill")


async def _prove(request: Request, verb: str) -> Response:
    found = await administer(request, verb, codec.encode({"name": request.path_params["name"]}))
    return json_response(codec.encode({name: value for name, value in found.items() if name != "path"}))


async def administer(request: Request, name: str, body: bytes) -> Any:
    """The answer to an administrative request of whoever asks.

    Raises:
        Refusal: it was not carried out.
    """
    return await backend_of(request).administer(name, body, actor_of(request))


def restore_of_ours(request: Request, wish: RestoreRequest) -> bytes:
    """A request for a restore from a backup of ours, and from nothing else.

    Raises:
        Invalid, NotFound: it names something else, or nothing at all.
    """
    if wish.prepared is not None:
        # Only who sits at the machine, and has the key, can have prepared something.
        raise Invalid("it is for the command line", path="$.prepared")
    if wish.moment == Moment():
        raise Invalid("what to restore: a backup, a position, a time or the latest", path="$")
    if wish.backup is not None:
        folder = backend_of(request).parts.settings.backup_folder
        wish = msgspec.structs.replace(wish, backup=name_inside(folder, wish.backup))
    return codec.encode(wish)


ROUTES = [
    route(BACKUPS, list_backups, role="read"),
    route(BACKUPS, create_backup, role="operate", methods=("POST",)),
    route(BACKUPS + "/{name}/verify", verify_backup, role="operate", methods=("POST",)),
    route(BACKUPS + "/{name}/drill", drill_backup, role="operate", methods=("POST",)),
    route(PREFIX + "{area}/{verb}", carry_out, role="admin", methods=("POST",)),
]
