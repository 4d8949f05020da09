"""The commands and queries of the contract as operations of the OpenAPI document, each once.

A command or query about one row has the row's key in its path; others have `-` in its place. If the method
stands for the verb, the path leaves it out (`ops/http/meaning.py` has the rules).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bus.contract import codec
from bus.contract.log_places import PLACE_PATTERN
from bus.serving.decoding import MAXIMUM_HEADER_CHARACTERS
from domain.component_names import component_name
from domain.messages import KEY_PATTERN
from hyperpage_client.contract.headers import (
    ACTOR,
    AGE_MS,
    CAUSATION_ID,
    CORRELATION_ID,
    MINIMUM_POSITION,
    POSITION,
    READ,
    TIMELINE,
    TRACEPARENT,
)
from hyperpage_client.contract.log_place import LEADER
from hyperpage_client.contract.subjects import BATCH
from ops.contract.components import answer_name
from ops.contract.schema import Schema, all_structs
from ops.contract.shapes import TEXT
from ops.http import meaning
from ops.http.openapi.parts import OperationObject, operation_object
from ops.http.operations import (
    JSON,
    Operation,
    Parameter,
    answer,
    empty,
    parameter,
    query_parameters,
    reference,
    request_body,
)
from projections.tables import TABLES

MERGE_PATCH = "application/merge-patch+json"
# Statuses of refusals, beside those of any request with a body.
_OF_COMMANDS = (404, 409, 422)
_OF_QUERIES = (404, 413)

# Headers that tell how new an answer is.
_PLACE = (POSITION, TIMELINE, AGE_MS)


def message_bodies(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The schemas for bodies of commands with their key in the path: the commands' own, without the key."""
    bodies: dict[str, Schema] = {}
    for name in all_structs()["commands"]:
        schema = schemas[component_name(name)]
        if any("{key}" in path and method != "patch" for path, method in _command_places(name, schema)):
            title = f"{component_name(name)}Body"
            bodies[title] = {**_without_key(name.partition(".")[0], schema), "title": title}
    return bodies


def message_operations(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, str, OperationObject]]:
    """Path, method and operation of every command and query."""
    kinds = all_structs()
    yield f"{meaning.PREFIX}service/{meaning.NO_KEY}/status", "get", _status()
    for name in kinds["queries"]:
        schema = schemas[component_name(name)]
        path = _query_path(name, schema)
        yield path, "get", _query(name, schema, path)
    for name in kinds["commands"]:
        schema = schemas[component_name(name)]
        for path, method in _command_places(name, schema):
            yield path, method, _command(name, schema, path, method)


def _query_path(name: str, schema: Schema) -> str:
    table, _, verb = name.partition(".")
    if verb == "list":
        return f"{meaning.PREFIX}{table}"
    if verb == "get":
        return f"{meaning.PREFIX}{table}/{{key}}"
    key = "{key}" if _key_field(table) in schema.get("required", ()) else meaning.NO_KEY
    return f"{meaning.PREFIX}{table}/{key}/{verb}"


def _command_places(name: str, schema: Schema) -> Iterator[tuple[str, str]]:
    if name == BATCH:
        yield f"{meaning.PREFIX}{BATCH}", "post"
        return
    table, _, verb = name.partition(".")
    place = f"{meaning.PREFIX}{table}"
    by_method = [method.lower() for method, verbs in meaning.BY_METHOD.items() if verbs.get(table) == verb]
    for method in by_method:
        yield place if method == "post" else f"{place}/{{key}}", method
    # The body of PATCH is the patch itself, with no room for a reason, so the verb also has a path of its
    # own.
    if not by_method or by_method == ["patch"]:
        key = "{key}" if _key_field(table) in schema.get("required", ()) else meaning.NO_KEY
        yield f"{place}/{key}/{verb}", "post"


def _status() -> OperationObject:
    """The one query without a table and without a struct in the contract."""
    status = Operation(
        "service.status",
        "service",
        {200: answer("Its status.", reference("ServiceStatus"))},
        problems=(404,),
        summary="How the service is, with the reasons.",
    )
    return operation_object(status, "read")


def _query(name: str, schema: Schema, path: str) -> OperationObject:
    table, _, verb = name.partition(".")
    parameters = query_parameters(_without_key(table, schema) if "{key}" in path else schema)
    if "{key}" in path:
        parameters.insert(0, _key(table))
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in (MINIMUM_POSITION, READ)]
    said = reference(answer_name(name))
    found: dict[int, Any] = {200: answer("The answer.", said, headers=_PLACE)}
    if verb == "get":
        headers = ["ETag", *_PLACE]
        found[200] = answer("The row.", said, headers=headers)
        found[304] = empty("The row is still at a version that If-None-Match names.", headers=headers)
        parameters.append({"$ref": "#/components/parameters/If-None-Match"})
    elif verb == "list":
        found[200] = answer("A page.", said, headers=["Link", *_PLACE])
    query = Operation(name, table, found, problems=_OF_QUERIES, parameters=parameters, **_texts(schema))
    return operation_object(query, "read")


def _command(name: str, schema: Schema, path: str, method: str) -> OperationObject:
    table = name.partition(".")[0]
    has_key = "{key}" in path
    parameters = [_key(table)] if has_key else []
    parameters += COMMAND_HEADERS
    if name != BATCH:
        parameters.append({"$ref": "#/components/parameters/If-Match"})
    if method == "put":
        # Other methods accept the header, too, but it is of no use there.
        parameters.append({"$ref": "#/components/parameters/If-None-Match-new"})
    said = reference(answer_name(name))
    headers = [] if name == BATCH or not (has_key or method == "put") else ["ETag"]
    found = {200: answer("It was accepted, and is on disk.", said, headers=headers)}
    if name != BATCH and method == "post" and path == f"{meaning.PREFIX}{table}":
        found[201] = answer("There is a new one.", said, headers=["ETag", "Location"])
    command = Operation(
        name if method in ("post", "put", "delete") else f"{name}.merge",
        table,
        found,
        problems=(*_OF_COMMANDS, *(() if name == BATCH else (412,)), 408, 413, 415),
        parameters=parameters,
        body=_body(name, schema, has_key=has_key, is_patch=method == "patch"),
        **_texts(schema),
    )
    return operation_object(command, "operate")


def _body(name: str, schema: Schema, *, has_key: bool, is_patch: bool) -> Any:
    if is_patch:
        # A merge patch (RFC 7386): members that are null are removed.
        return request_body({"type": "object"}, kinds=[JSON, MERGE_PATCH])
    if not has_key:
        return request_body(reference(name))
    sent = _without_key(name.partition(".")[0], schema)
    if not sent["properties"]:
        return None
    return request_body(reference(f"{component_name(name)}Body"), required=bool(sent["required"]))


def _key_field(table: str) -> str:
    return msgspec.structs.fields(TABLES[table].get_query)[0].name if table in TABLES else ""


def _without_key(table: str, schema: Schema) -> Schema:
    """The schema of a body without the fields that the path gives."""
    named = {field.name for field in msgspec.structs.fields(TABLES[table].get_query)}
    return {
        **schema,
        "properties": {name: one for name, one in schema["properties"].items() if name not in named},
        "required": [name for name in schema.get("required", ()) if name not in named],
    }


def _key(table: str) -> Parameter:
    pattern, rule = TABLES[table].key_rule
    schema: Schema = {"type": "string", "pattern": pattern}
    if pattern == KEY_PATTERN:
        schema["maxLength"] = 200
    return parameter("key", "path", schema, description=rule)


def _texts(schema: Schema) -> dict[str, str]:
    """The summary and the description of an operation, from the docstring of its struct."""
    summary, _, description = str(schema.get("description", "")).partition("\n")
    return {"summary": summary, "description": description.strip()}


_TEXT_OF_A_HEADER = {"type": "string", "maxLength": MAXIMUM_HEADER_CHARACTERS}
COMMAND_HEADERS: list[Parameter] = [
    {"$ref": f"#/components/parameters/{name}"}
    for name in ("Idempotency-Key", ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)
]
PARAMETERS: Mapping[str, Parameter] = {
    "Idempotency-Key": parameter(
        "Idempotency-Key",
        "header",
        {**_TEXT_OF_A_HEADER, "minLength": 1, "maxLength": codec.MAXIMUM_COMMAND_ID_CHARACTERS},
        description="The command's id: sent again, it changes nothing and gets the same answer.",
    ),
    "If-Match": parameter(
        "If-Match",
        "header",
        {"type": "string", "pattern": '^"[0-9]{1,18}"$'},
        description='The version that the row is at, as its ETag had it: `"3"`.',
    ),
    "If-None-Match-new": parameter(
        "If-None-Match", "header", {"const": "*"}, description="`*`: there is no such row yet."
    ),
    "If-None-Match": parameter(
        "If-None-Match", "header", TEXT, description="ETags of what is known already."
    ),
    MINIMUM_POSITION: parameter(
        MINIMUM_POSITION,
        "header",
        {"type": "string", "pattern": PLACE_PATTERN},
        description="How new what is read has to be: timeline and position, as an answer had them, `1-41872`,"
        " or a position alone, of whatever timeline. It is waited for, 2 s at most.",
    ),
    READ: parameter(
        READ,
        "header",
        {"const": LEADER},
        description="`leader`: what is newest of all is read, or nothing. A service that does not lead says"
        " who does (`unavailable`).",
    ),
    **{
        name: parameter(name, "header", _TEXT_OF_A_HEADER, description=meaning)
        for name, meaning in (
            (ACTOR, "On whose behalf; without it, the name of the token."),
            (CORRELATION_ID, "What all that belongs together has in common."),
            (CAUSATION_ID, "The command or event that this one follows from."),
            (TRACEPARENT, "W3C trace context."),
        )
    },
}
