"""The contract as one JSON Schema: of an object with all messages by their names."""

from collections.abc import Mapping

from domain.component_names import component_name
from ops.contract.components import (
    ANY_EVENT,
    Components,
    JobProgressNotice,
    Refusal,
    answer_name,
    event_name,
    name_of,
    parts_of,
)
from ops.contract.schema import DIALECT, Schema, all_structs
from projections.tables import TABLES


def bundle() -> Schema:
    """The schema. All that it refers to is in its `$defs`, each struct under a name of its own.

    Its members map names to these structs: `commands`, `queries` and `events` by their own names, `answers`
    by the names of their commands and queries, `rows` by the names of tables.
    """
    components = Components("#/$defs/")
    kinds = all_structs()
    asked = [*kinds["commands"], *kinds["queries"]]

    def members(title: str, names: Mapping[str, str]) -> Schema:
        return _object(title, {name: components.reference(one) for name, one in names.items()})

    properties = {
        "commands": members("Commands", {name: component_name(name) for name in kinds["commands"]}),
        "queries": members("Queries", {name: component_name(name) for name in kinds["queries"]}),
        "answers": members("Answers", {name: answer_name(name) for name in asked}),
        "events": members("Events", {name: event_name(name) for name in kinds["events"]}),
        "rows": members("Rows", {name: name_of(table.shape) for name, table in TABLES.items()}),
        "event": components.reference(ANY_EVENT),
        "refusal": components.reference(Refusal.__name__),
        "progress": components.reference(JobProgressNotice.__name__),
    }
    for schema in components.schemas.values():
        for part in parts_of(schema):
            if not part.keys() & {"$ref", "anyOf", "const", "enum", "oneOf", "type"}:
                # A value of any type. Without this, json-schema-to-typescript makes an object of it.
                part["tsType"] = "unknown"
    return {"$schema": DIALECT, **_object("Hyperpage", properties), "$defs": components.schemas}


def _object(title: str, properties: Schema) -> Schema:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
