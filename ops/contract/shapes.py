"""Pieces of JSON Schema, for what no struct stands for."""

from collections.abc import Iterable, Mapping
from typing import Any

from ops.contract.schema import Schema

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def array_of(item: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": item}


def nullable(schema: Schema) -> Schema:
    """A value of a schema of one type, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def object_of(properties: Mapping[str, Any], required: Iterable[str] | None = None) -> Schema:
    """An object; all of its members are there unless `required` says which."""
    names = properties if required is None else required
    return {"type": "object", "properties": dict(properties), "required": list(names)}


def map_of(value: Schema) -> Schema:
    """An object with members of any name."""
    return {"type": "object", "additionalProperties": value}
