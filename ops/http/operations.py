"""Descriptions of routes for `/openapi.json`: `Operation`, and functions that make its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from domain.component_names import component_name
from ops.contract.schema import Schema

JSON = "application/json"
SCHEMAS = "#/components/schemas/"

Parameter = dict[str, Any]


class Operation(msgspec.Struct, frozen=True):
    """The description of one method on one path, beside what the route itself says.

    `answers` are responses by status; `problems` are the statuses of refusals beside those that any request
    may meet. The summary is the first line of the handler's docstring, unless one is given.
    """

    name: str
    tag: str
    answers: Mapping[int, Any]
    problems: Sequence[int] = ()
    parameters: Sequence[Parameter] = ()
    body: Any = None
    summary: str = ""
    description: str = ""


def reference(name: str) -> Schema:
    """A reference to one of the document's schemas, by the name of its command, query or other message."""
    return {"$ref": SCHEMAS + component_name(name)}


def answer(description: str, schema: Schema, *, headers: Sequence[str] = (), kind: str = JSON) -> Any:
    """A response with a body; `headers` are names of the document's headers."""
    return empty(description, headers=headers, content={kind: {"schema": schema}})


def empty(description: str, *, headers: Sequence[str] = (), content: Any = None) -> Any:
    """A response without a body, or with `content` by media type."""
    response: dict[str, Any] = {"description": description}
    if content is not None:
        response["content"] = content
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return response


def request_body(schema: Schema, *, kinds: Sequence[str] = (JSON,), required: bool | None = None) -> Any:
    """The body of a request. Without `required`, it may be left out if none of its members is required."""
    return {
        "required": bool(schema.get("required", "$ref" in schema)) if required is None else required,
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
    """The members of a struct, each as a parameter of the query."""
    required = schema.get("required", ())
    return [
        parameter(
            name,
            "query",
            _said(member),
            description=member.get("description", ""),
            required=name in required,
        )
        for name, member in schema.get("properties", {}).items()
    ]


def _said(member: Schema) -> Schema:
    """The schema of a member as a parameter, without null: a parameter is left out instead."""
    own = {name: value for name, value in member.items() if name not in ("anyOf", "description")}
    if "anyOf" not in member:
        return own
    [choice] = [one for one in member["anyOf"] if one != {"type": "null"}]
    return {**choice, **{name: value for name, value in own.items() if name != "default"}}
