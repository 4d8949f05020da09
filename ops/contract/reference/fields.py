"""The fields of a command or query as lines of a table, made from its JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import msgspec

from domain.messages import KEY_PATTERN, KeyPart
from ops.contract.reference.meanings import meaning_of
from ops.contract.schema import Schema

_HEADING = "| field | type | limits | default | meaning |\n|---|---|---|---|---|\n"
_KEY_PART_PATTERN = get_args(KeyPart)[1].pattern
# Limits from here on are not mentioned: the last millisecond of the year 9999, JSON's last exact integer.
_NO_LIMIT = 253_402_300_799_999


def fields_of(verb: str, schema: Schema) -> str:
    """A table with a line for each field, also of the structs inside; empty if there are no fields."""
    lines = [_line(verb, path, field, required) for path, field, required in fields_in(schema)]
    return _HEADING + "\n".join(lines) + "\n" if lines else ""


def fields_in(schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """The path of each field, such as `unique.key`, with its schema and whether it is required."""
    return _walk(schema, schema, "")


def _walk(whole: Schema, part: Schema, before: str) -> Iterator[tuple[str, Schema, bool]]:
    for name, field in part.get("properties", {}).items():
        path = before + name
        yield path, field, name in part.get("required", ())
        for inner in _inner(field):
            yield from _walk(whole, whole["$defs"][inner], f"{path}.")


def _inner(field: Schema) -> Iterator[str]:
    for each in (field, field.get("items", {}), *field.get("anyOf", ())):
        if "$ref" in each:
            yield each["$ref"].rpartition("/")[2]


def _line(verb: str, path: str, field: Schema, required: bool) -> str:
    if required:
        default = "required"
    else:
        default = f"`{msgspec.json.encode(field['default']).decode()}`" if "default" in field else ""
    meaning = meaning_of(verb, path, field.get("description", ""))
    cells = (f"`{path}`", _type(field), _limits(field), default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _choices(field: Schema) -> list[Schema]:
    """The types that a field may have, without null if that is its default."""
    choices: list[Schema] = field.get("anyOf", [field])
    if field.get("default", ...) is None:
        return [one for one in choices if one.get("type") != "null"]
    return choices


def _type(field: Schema) -> str:
    return " or ".join(dict.fromkeys(map(_one_type, _choices(field))))


def _one_type(schema: Schema) -> str:
    if "$ref" in schema:
        return "object"
    if "enum" in schema:
        return "text"
    kind = schema.get("type")
    if kind is None:
        return "any JSON"
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return "text" if kind == "string" else str(kind)


def _limits(field: Schema) -> str:
    return "; ".join(dict.fromkeys(filter(None, map(_one_limit, _choices(field)))))


def _one_limit(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "string":
            return _text_limit(schema)
        case "integer" | "number":
            return _range(schema, "minimum", "maximum", "")
        case "array":
            return _joined(_range(schema, "minItems", "maxItems", ""), _limits(schema.get("items", {})))
        case "object":
            return _range(schema, "minProperties", "maxProperties", " members")
        case _:
            return ""


def _text_limit(schema: Mapping[str, Any]) -> str:
    pattern, longest = schema.get("pattern"), schema.get("maxLength")
    if pattern == KEY_PATTERN:
        shorter = "" if longest == 200 else f" of at most {longest} characters"
        return f"a [key](#keys){shorter}"
    if pattern == _KEY_PART_PATTERN:
        return f"a [key](#keys) without `:`, of at most {longest} characters"
    if pattern is not None and longest is None:
        # Only a cursor has a pattern and no length.
        return "as it came"
    if pattern is not None:
        # This is the pattern of a key's beginning.
        return f"at most {longest} characters of a [key](#keys)"
    return _range(schema, "minLength", "maxLength", " characters")


def _range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is not None and low <= -_NO_LIMIT:
        low = None
    if high is None or high >= _NO_LIMIT:
        return f"at least {low}{unit}" if low else ""
    return f"at most {high}{unit}" if low is None else f"{low} to {high}{unit}"


def _joined(number: str, each: str) -> str:
    return f"{number}, each {each}" if number and each else number or each
