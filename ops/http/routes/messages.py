"""Commands and queries over HTTP: `/api/v1/<table>`. `ops/http/meaning.py` says what a path means."""

import asyncio
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bus.contract.log_places import is_for_leader, least_place
from bus.serving.queries.reading import Reading
from domain.errors import Invalid, VersionConflict
from domain.messages import split_stream
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import (
    ACTOR,
    CAUSATION_ID,
    COMMAND_ID,
    CORRELATION_ID,
    EXPECTED_VERSION,
    TRACEPARENT,
)
from ops.http.meaning import PREFIX, RequestMeaning, command_body, meaning_of, query_body
from ops.http.preconditions import expected_version, is_known, tag_of
from ops.http.problem import problem
from ops.http.routing import (
    ANY_METHOD,
    access_of,
    backend_of,
    bus_principal_of,
    json_body,
    json_response,
    next_page,
    principal_of,
    route,
)

IDEMPOTENCY_KEY = "Idempotency-Key"
# Headers that are passed on as they are: they have the same names on the bus.
_PASSED_ON = (ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)


async def answer_message(request: Request) -> Response:
    """The answer to a command or a query."""
    backend = backend_of(request)
    parts = backend.now.parts
    queries = parts.query_verbs
    path = request.scope["raw_path"].removeprefix(PREFIX.encode())
    meaning = meaning_of(request.method, path, queries, parts.queries.away)
    if meaning.kind == "command":
        principal = principal_of(request)
        # For users of their own, the intake checks their rights instead.
        if principal.kind != "user":
            access_of(request).require(request, principal, "operate")
        return await _answer_command(request, meaning)
    if request.method == "POST":
        body = await json_body(request)
    else:
        parameters = request.query_params.multi_items()
        body = query_body(queries[meaning.name].shape, meaning.key, parameters, name=meaning.name)
    read = backend.read(
        meaning.name,
        body,
        bus_principal_of(request),
        least=least_place(request.headers),
        for_leader=is_for_leader(request.headers),
    )
    if queries[meaning.name].awaits is None:
        reading = await read
    else:
        # The query may wait long, so the request gives its place back; the service bounds such queries
        # itself.
        request.scope["hyperpage.stay"].leave()
        reading = await _while_there(request, read)
    if reading.refusal is not None:
        response = problem(reading.refusal)
    elif meaning.verb == "get":
        response = _row(request, reading.body)
    elif meaning.verb == "list" and request.method != "POST":
        response = json_response(reading.body, headers=next_page(request, reading.body))
    else:
        response = json_response(reading.body)
    if (headers := reading.headers) is not None:
        response.headers.update(headers)
    return response


async def _while_there(request: Request, work: Coroutine[Any, Any, Reading]) -> Reading:
    """The result of `work`, which is cancelled if the client disconnects.

    Raises:
        ClientDisconnect: the client has disconnected.
        Any error of `work`.
    """
    reading, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((reading, gone), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ClientDisconnect
        return await reading
    finally:
        reading.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer_command(request: Request, meaning: RequestMeaning) -> Response:
    body = command_body(meaning, await json_body(request))
    headers = bus_headers(request)
    try:
        answer = await backend_of(request).command(meaning.name, body, headers, bus_principal_of(request))
    except VersionConflict as refusal:
        # 412 if a precondition of the caller failed (RFC 9110, 15.5.13), otherwise the conflict's own status.
        return problem(refusal, status=412 if EXPECTED_VERSION in headers else None)
    if meaning.stream is None and not meaning.creates:
        return json_response(answer)
    told = msgspec.json.decode(answer, type=CommandAnswer)
    if told.stream is None or told.version is None or (not meaning.creates and told.stream != meaning.stream):
        # The answer is about another row than the path, or about none: no ETag.
        return json_response(answer)
    described = {"ETag": tag_of(told.version)}
    if meaning.creates and told.events:
        table, key = split_stream(told.stream)
        return json_response(answer, 201, {**described, "Location": f"{PREFIX}{table}/{quote(key, safe='')}"})
    return json_response(answer, headers=described)


def bus_headers(request: Request) -> dict[str, str]:
    """The headers of a command, as on the bus, from the headers of a request.

    Raises:
        Invalid: its preconditions are malformed.
    """
    headers = {name: _text(request, name) for name in _PASSED_ON if name in request.headers}
    if IDEMPOTENCY_KEY in request.headers:
        command_id = _text(request, IDEMPOTENCY_KEY)
        # In quotes, as the header's draft asks for (a string of RFC 9651), or without, as most clients send
        # it.
        quoted = len(command_id) > 1 and command_id[0] == command_id[-1] == '"'
        headers[COMMAND_ID] = command_id[1:-1] if quoted else command_id
    if (version := expected_version(request.headers)) is not None:
        headers[EXPECTED_VERSION] = version
    # A known caller is the actor, unless the request names another one.
    principal = principal_of(request)
    if principal.kind != "anybody":
        headers.setdefault(ACTOR, principal.name)
    return headers


def _text(request: Request, name: str) -> str:
    """A header's text, which is UTF-8 as on the bus."""
    try:
        return request.headers[name].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Invalid("the header is not UTF-8", path=name) from None


class _Row(msgspec.Struct):
    version: int


def _row(request: Request, answer: bytes) -> Response:
    tag = tag_of(msgspec.json.decode(answer, type=_Row).version)
    if is_known(request.headers, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return json_response(answer, headers={"ETag": tag})


ROUTES = [
    # `read` is enough for queries; a command asks for its role once it is known to be one.
    route(
        PREFIX + "{rest:path}",
        answer_message,
        role="read",
        for_users=True,
        methods=(ANY_METHOD,),
        # The document describes commands and queries from the catalogue (`ops/http/openapi/messages.py`).
        operation=None,
    )
]
