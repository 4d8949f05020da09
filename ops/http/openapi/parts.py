"""Pieces of the OpenAPI document: operations, schemas, problems and headers."""

from collections.abc import Mapping
from typing import Any

from domain import errors
from hyperpage_client.contract.headers import AGE_MS, POSITION, TIMELINE
from ops.contract.schema import Schema
from ops.contract.shapes import INTEGER, TEXT, object_of
from ops.http import refusals
from ops.http.access.roles import Role
from ops.http.operations import Operation, answer, reference
from ops.http.problem import MEDIA_TYPE

OperationObject = dict[str, Any]

# Statuses of refusals that any request may meet.
ANY = (400, 421, 429, 431, 500, 503)
# Statuses that a request may meet if it needs a role.
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
    503: (errors.Unavailable, errors.Behind),
}
_PRECONDITION_FAILED = "The row is at another version than If-Match or If-None-Match said."


def operation_object(operation: Operation, role: Role | None) -> OperationObject:
    """An operation as the document shows it, for callers with a role, or for all callers if it is `None`."""
    needed = f"Needs the role `{role}`." if role is not None else "Needs no token."
    refused = {
        *(GUARDED if role is not None else ANY),
        *operation.problems,
        *(WITH_BODY if operation.body is not None else ()),
    }
    responses = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(refused)}
    responses |= {str(status): response for status, response in operation.answers.items()}
    described: OperationObject = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description}\n\n{needed}".strip(),
        "responses": dict(sorted(responses.items())),
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = operation.body
    if role is None:
        described["security"] = []
    return described


def problem_responses() -> dict[str, Any]:
    """The answers for refusals, by status."""
    return {str(status): _problem_response(status) for status in _PROBLEMS}


def _problem_response(status: int) -> Any:
    kinds = _PROBLEMS[status]
    lines = [f"`{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in kinds]
    text = _PRECONDITION_FAILED if status == 412 else "\n\n".join(lines)
    response = answer(text, reference("problem"), kind=MEDIA_TYPE)
    if status == 429:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def problem_schema() -> Schema:
    """The schema of problem details (RFC 9457), with the members that a refusal has on the bus."""
    always: dict[str, Schema] = {
        "type": {"type": "string", "format": "uri", "description": "`urn:hyperpage:problem:` and the code"},
        "title": TEXT,
        "status": INTEGER,
        "detail": TEXT,
        "code": {"type": "string", "description": "stable, for programs"},
        "hint": {"type": "string", "description": "what to do about it"},
        "details": {"type": "object"},
    }
    sometimes: dict[str, Schema] = {
        "rule": {"type": "string", "description": "the rule of the domain that says no"},
        "path": {"type": "string", "description": "where in the request the fault lies"},
        "incident": {"type": "string", "description": "under which it stands in the log"},
        "error": {"type": "string", "description": "`detail` again, on the paths of the system before"},
    }
    return {"title": "Problem", **object_of({**always, **sometimes}, required=always)}


def service_status() -> Schema:
    """The schema of a service's status."""
    level: Schema = {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]}
    return {"title": "ServiceStatus", **object_of({"status": level})}


HEADERS: Mapping[str, Any] = {
    "ETag": {
        "description": "The version of the row, in quotes.",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Link": {"description": 'The next page, as rel="next" (RFC 8288).', "schema": TEXT},
    "Location": {"description": "Where what was made is found.", "schema": TEXT},
    POSITION: {
        "description": "The position of the log up to which everything is in what was read.",
        "schema": INTEGER,
    },
    TIMELINE: {"description": "The timeline of that position.", "schema": INTEGER},
    AGE_MS: {
        "description": "From a service that follows: how long ago it was known to have all of the log, in"
        " milliseconds.",
        "schema": INTEGER,
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
}
