"""The HTTP API as an OpenAPI 3.1 document, made from the routes and the structs that decode requests.

https://spec.openapis.org/oas/v3.1.1.html
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from ops.contract.components import Components
from ops.http.access.sessions import CSRF_HEADER
from ops.http.openapi.messages import PARAMETERS, message_bodies, message_operations
from ops.http.openapi.parts import (
    HEADERS,
    OperationObject,
    operation_object,
    problem_responses,
    problem_schema,
    service_status,
)
from ops.http.operations import SCHEMAS, Operation, answer
from ops.http.routes import api
from ops.http.routing import RouteEntry, access_of, json_response, route
from ops.version import service_version

Document = dict[str, Any]

_DESCRIPTION = f"""\
Commands and queries of the contract, the events as they come, backups and administration.

A command or a query about one row has the row's key in its path, as one segment: what a segment cannot hold
is escaped, a `/` as `%2F`. Others have `-` in its place. What is sent to `/api/v1/<table>/-/<verb>` may be
sent to `/api/v1/<table>/<verb>` with POST as well, a query then with its parameters as the body.

A browser that was logged in sends `{CSRF_HEADER}` with whatever changes something.\
"""


def openapi_document(version: str, *, needs_token: bool, cookie: str = "hyperpage_session_8822") -> Document:
    """The document for one version of the program.

    `needs_token` is false if the settings say that no token is needed. `cookie` is the name of a session's
    cookie.
    """
    schemas = Components(SCHEMAS, openapi=True, more=api.SCHEMAS).schemas
    schemas |= {**message_bodies(schemas), "Problem": problem_schema(), "ServiceStatus": service_status()}
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation in (*message_operations(schemas), *_operations((*api.ROUTES, *ROUTES))):
        paths.setdefault(path, {})[method] = operation
    known: list[dict[str, list[str]]] = [{"bearer": []}, {"session": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hyperpage-persistence",
            "version": version,
            "summary": "An event-sourced persistence service.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": known if needs_token else [{}, *known],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": dict(PARAMETERS),
            "headers": dict(HEADERS),
            "responses": problem_responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "As `hyperpage token create` makes it.",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": cookie},
            },
        },
    }


def _operations(routes: Iterable[RouteEntry]) -> Iterator[tuple[str, str, OperationObject]]:
    """Path, method and operation of everything but commands and queries of the contract."""
    for entry in routes:
        for path, operation in entry.operations.items():
            for method in entry.methods:
                yield path, method.lower(), operation_object(operation, entry.role)


async def answer_openapi(request: Request) -> Response:
    """This document.

    As it holds for this service.
    """
    access = access_of(request)
    return json_response(_document(access.cookie_name, not access.is_open))


@cache
def _document(cookie: str, needs_token: bool) -> bytes:
    return codec.encode(openapi_document(service_version(), needs_token=needs_token, cookie=cookie))


ROUTES = [
    route(
        "/openapi.json",
        answer_openapi,
        role=None,
        operation=Operation("openapi", "service", {200: answer("OpenAPI 3.1.", {"type": "object"})}),
    )
]
