"""Pieces of JSON Schema that have no struct."""

from collections.abc import Iterable, Mapping
from typing import Any

from ops.contract.schema import Schema

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def array_of(item: Schema) -> Schema:
    """The schema of an array."""
    return {"type": "array", "items": item}


def nullable(schema: Schema) -> Schema:
    """The schema of a value that fits a schema with one `type`, or is null."""
    return {**schema, "type": [schema["type"], "null"]}


def object_of(properties: Mapping[str, Any], required: Iterable[str] | None = None) -> Schema:
    """The schema of an object; all of its members are required, unless `required` names some."""
    names = properties if required is None else required
    return {"type": "object", "properties": dict(properties), "required": list(names)}


def map_of(value: Schema) -> Schema:
    """The schema of an object whose members may have any name."""
    return {"type": "object", "additionalProperties": value}
