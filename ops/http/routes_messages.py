"""Commands and queries over HTTP: `/api/v1/<table>`. What a path means, `messages` says."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.headers import ACTOR, CAUSATION_ID, COMMAND_ID, CORRELATION_ID, EXPECTED_VERSION, TRACEPARENT
from domain.errors import VersionConflict
from ops.http.messages import Meaning, command_body, meaning_of, query_body
from ops.http.problem import problem
from ops.http.routes import backend_of, json_response, principal_of, route

PREFIX = "/api/v1/"
IDEMPOTENCY_KEY = "Idempotency-Key"
# What a caller may say of a command beside its body, under the names of the bus.
_PASSED_ON = (ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)


async def answer_message(request: Request) -> Response:
    """A command's or a query's answer."""
    raw_path: bytes = request.scope["raw_path"]
    backend = backend_of(request)
    queries = backend.service.query_verbs
    meaning = meaning_of(request.method, raw_path.removeprefix(PREFIX.encode()), queries)
    if meaning.kind == "command":
        principal_of(request).require("operate")
        return await _command(request, meaning)
    if request.method == "POST":
        body = await request.body()
    else:
        body = query_body(queries[meaning.name].shape, meaning.key, request.query_params.multi_items())
    return _as_response(request, await backend.query(meaning.name, body))


async def _command(request: Request, meaning: Meaning) -> Response:
    body = command_body(meaning, await request.body())
    headers = _bus_headers(request)
    try:
        answer = await backend_of(request).command(meaning.name, body, headers)
    except VersionConflict as refusal:
        # What the caller asked to be so was not (RFC 9110, 15.5.13).
        return problem(refusal, status=412 if "if-match" in request.headers else None)
    return json_response(answer)


def _bus_headers(request: Request) -> dict[str, str]:
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    if (command_id := request.headers.get(IDEMPOTENCY_KEY)) is not None:
        headers[COMMAND_ID] = command_id
    if (version := request.headers.get("If-Match")) is not None:
        headers[EXPECTED_VERSION] = version.strip('"')
    return headers


class _Versioned(msgspec.Struct):
    version: int


def _as_response(request: Request, answer: bytes) -> Response:
    return json_response(answer)


ROUTES = [
    # Each of them needs `read` at least; what a command needs beside that is asked for once it is known.
    route(
        PREFIX + "{rest:path}",
        answer_message,
        role="read",
        methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
    )
]
