"""The pieces that the OpenAPI document is made of: operations, parameters, answers and problems."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain import errors
from ops.contract.answers import INTEGER, TEXT, object_of
from ops.contract.schema import Schema
from ops.http import refusals
from ops.http.access.roles import Role
from ops.http.problem import MEDIA_TYPE
from ops.http.routing import JSON

Operation = dict[str, Any]
Parameter = dict[str, Any]

# What any request may meet, whatever it asks for.
ANY = (400, 421, 429, 431, 500, 503)
# What one may meet that needs a role.
GUARDED = (*ANY, 401, 403)
WITH_BODY = (408, 413, 415)

_PROBLEMS: Mapping[int, tuple[type[errors.Refusal] | type[refusals.HttpRefusal], ...]] = {
    400: (errors.Invalid,),
    401: (refusals.Unauthorized,),
    403: (refusals.Forbidden,),
    404: (errors.NotFound,),
    405: (refusals.MethodNotAllowed,),
    408: (refusals.RequestTimeout,),
    409: (errors.VersionConflict, errors.AlreadyExists, errors.CommandIdReused),
    412: (errors.VersionConflict,),
    413: (errors.TooLarge, refusals.BodyTooLarge),
    415: (refusals.UnsupportedMediaType,),
    421: (refusals.Misdirected,),
    422: (errors.RuleViolated, errors.SecretRejected),
    429: (errors.Busy, refusals.TooManyRequests),
    431: (refusals.HeadTooLarge,),
    500: (errors.Internal,),
    503: (errors.Unavailable,),
}
_MORE = {
    412: "The row is at another version than If-Match or If-None-Match said.",
}


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    role: Role | None,
    answers: Mapping[int, Any],
    problems: Iterable[int] = (),
    parameters: Sequence[Parameter] = (),
    body: Any = None,
    description: str = "",
) -> Operation:
    """What one method on one path does. `answers` are responses by status, `problems` further statuses."""
    needed = f"Needs the role `{role}`." if role is not None else "Needs no token."
    refused = {*(GUARDED if role is not None else ANY), *problems, *(WITH_BODY if body is not None else ())}
    responses = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(refused)}
    responses |= {str(status): response for status, response in answers.items()}
    described: Operation = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": f"{description}\n\n{needed}".strip(),
        "responses": dict(sorted(responses.items())),
    }
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described["requestBody"] = body
    if role is None:
        described["security"] = []
    return described


def answer(description: str, schema: Schema, *, headers: Sequence[str] = (), kind: str = JSON) -> Any:
    """A response with a body; `headers` are names of shared ones."""
    response: dict[str, Any] = {"description": description, "content": {kind: {"schema": schema}}}
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return response


def empty(description: str, *, headers: Sequence[str] = ()) -> Any:
    """A response without a body."""
    response: dict[str, Any] = {"description": description}
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return response


def json_body(schema: Schema, *, kinds: Sequence[str] = (JSON,)) -> Any:
    """The body of a request; it may be left out where nothing in it has to be there."""
    return {
        "required": bool(schema.get("required", "$ref" in schema)),
        "content": {kind: {"schema": schema} for kind in kinds},
    }


def parameter(
    name: str, where: str, schema: Schema, *, description: str = "", required: bool = False
) -> Parameter:
    """A parameter of the path, the query or the headers."""
    described: Parameter = {
        "name": name,
        "in": where,
        "required": required or where == "path",
        "schema": schema,
    }
    return described | ({"description": description} if description else {})


def query_parameters(schema: Schema) -> list[Parameter]:
    """Each member of a struct as a parameter of its own."""
    required = schema.get("required", ())
    return [
        parameter(name, "query", _said(member), required=name in required)
        for name, member in schema.get("properties", {}).items()
    ]


def _said(member: Schema) -> Schema:
    """The schema of a member where there is no way to say null: it is left out instead."""
    choices = member.get("anyOf")
    if choices is None:
        return member
    [choice] = [one for one in choices if one != {"type": "null"}]
    return {**choice, **{name: value for name, value in member.items() if name not in ("anyOf", "default")}}


def problem_responses() -> dict[str, Any]:
    """Every refusal by its status."""
    return {str(status): _problem_response(status) for status in _PROBLEMS}


def _problem_response(status: int) -> Any:
    kinds = _PROBLEMS[status]
    lines = [f"`{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in kinds]
    response = answer(
        _MORE.get(status, "\n\n".join(lines)), {"$ref": "#/components/schemas/problem"}, kind=MEDIA_TYPE
    )
    if status == 429:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def problem_schema() -> Schema:
    """Problem details (RFC 9457), with what a refusal says on the bus."""
    always: dict[str, Schema] = {
        "type": {"type": "string", "format": "uri", "description": "`urn:hyperpage:problem:` and the code"},
        "title": TEXT,
        "status": INTEGER,
        "detail": TEXT,
        "code": {"type": "string", "description": "stable, for programs"},
        "hint": {"type": "string", "description": "what to do about it; may be empty"},
        "details": {"type": "object"},
    }
    sometimes: dict[str, Schema] = {
        "rule": {"type": "string", "description": "the rule of the domain that says no"},
        "path": {"type": "string", "description": "where in the request the fault lies"},
        "incident": {"type": "string", "description": "under which it stands in the log"},
        "error": {"type": "string", "description": "`detail` again, on the paths of the system before"},
    }
    return object_of({**always, **sometimes}, required=always)


HEADERS: Mapping[str, Any] = {
    "ETag": {
        "description": "The version of the row, in quotes.",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Link": {"description": 'The next page, as rel="next" (RFC 8288).', "schema": TEXT},
    "Location": {"description": "Where what was made is found.", "schema": TEXT},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
}
