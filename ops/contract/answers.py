"""JSON Schema of what queries are answered with, for the documents that describe the contract."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from typing import Any

from domain.rate_limits.availability import Availability
from domain.rate_limits.forecast import Forecast
from migrations import runner
from migrations.connection import open_memory
from ops.contract.schema import Schema, described
from projections.job_board import COLUMNS as BOARD_COLUMNS
from projections.job_history import HISTORY_COLUMNS
from projections.table import Table, places_of
from projections.tables import TABLES

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
_OF_A_MOMENT: dict[str, Any] = {"rate_limits.may_call": Availability, "rate_limits.forecast": Forecast}
_OF_SQLITE = {"TEXT": "string", "INTEGER": "integer", "REAL": "number"}


def query_answer(query: str, event: Schema) -> Schema:
    """The answer to a query, such as `jobs.list`; `event` refers to the schema of a CloudEvent."""
    if query in _OF_A_MOMENT:
        return described(query, _OF_A_MOMENT[query], "#/components/schemas/{name}")[0]
    table, _, verb = query.partition(".")
    match table, verb:
        case "events", "chain":
            item = object_of({"cause": nullable(INTEGER), "event": event})
            return object_of({"items": array_of(item), "complete": {"type": "boolean"}})
        case "events", _:
            return object_of(
                {
                    **page_of(event)["properties"],
                    "head": INTEGER,
                    "store_id": TEXT,
                    "timelines": array_of(array_of(INTEGER)),
                }
            )
        case "service", _:
            return object_of({"status": {"enum": ["healthy", "degraded", "unhealthy"]}})
        case _, "history":
            return page_of(event)
        case _, "attempts":
            types = column_types("job_history")
            return page_of(object_of({column: types[column] for column in HISTORY_COLUMNS}))
        case _, "browse":
            row = row_of(TABLES[table])["properties"]
            return page_of(object_of({column: row[column] for column in BOARD_COLUMNS}))
        case "jobs", "throughput":
            parts = array_of(map_of(INTEGER))
            return object_of({"since": INTEGER, "until": INTEGER, "part_ms": INTEGER, "parts": parts})
        case "jobs", "workers":
            return object_of({"since": INTEGER, "until": INTEGER, "workers": map_of({"type": "object"})})
        case "jobs", "running":
            return page_of({"type": "object"})
        case _, "stats":
            return object_of({"since": INTEGER, "until": INTEGER, "queues": map_of({"type": "object"})})
        case _, "get" | "as_of":
            return row_of(TABLES[table])
        case _, "list":
            return page_of(row_of(TABLES[table]))
        case "jobs", "count":
            groups = array_of(object_of({"value": nullable(TEXT), "count": INTEGER}))
            return object_of({"count": INTEGER, "groups": groups}, required=("count",))
        case _, "count":
            return object_of({"count": INTEGER})
        case _, "diff":
            one = object_of({"path": TEXT, "value": {}})
            two = object_of({"path": TEXT, "from": {}, "to": {}})
            return object_of({"added": array_of(one), "removed": array_of(one), "changed": array_of(two)})
        case _:
            raise KeyError(query)


def row_of(table: Table) -> Schema:
    """A row, as queries show it."""
    types = column_types(table.name)
    columns: dict[str, Schema] = {column: types[column] for column in table.columns}
    of_json, booleans = places_of(table.shape)
    columns |= {table.columns[place]: {} for place in of_json}
    columns |= {table.columns[place]: {"type": "boolean"} for place in booleans}
    return object_of(columns)


@cache
def column_types(table: str) -> Mapping[str, Schema]:
    """The JSON types of a table's columns: those that the migrations give them."""
    with closing(open_memory()) as connection:
        runner.up(connection)
        columns = connection.execute('SELECT name, type, "notnull" FROM pragma_table_info(?)', (table,))
        return {
            name: {"type": _OF_SQLITE[kind]} if not_null else {"type": [_OF_SQLITE[kind], "null"]}
            for name, kind, not_null in columns
        }


def page_of(item: Schema) -> Schema:
    """A page of a list."""
    return object_of({"items": array_of(item), "next": {"type": ["string", "integer", "null"]}})


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


def refusal_schema() -> Schema:
    """A refusal, as the bus has it."""
    error = object_of({"code": TEXT, "message": TEXT, "hint": TEXT, "details": {"type": "object"}})
    return object_of({"error": error})


def cloud_event_schema() -> Schema:
    """An event, as subscribers get it."""
    always = {
        **dict.fromkeys(("id", "source", "type", "subject", "time", "datacontenttype"), TEXT),
        "specversion": {"const": "1.0"},
        # The position. The CloudEvents extension `sequence` is a string.
        "sequence": TEXT,
        "version": INTEGER,
        "timeline": INTEGER,
        "hash": TEXT,
        "data": {},
    }
    extensions = ("commandid", "actor", "correlationid", "causationid", "traceparent", "principal")
    return object_of({**always, **dict.fromkeys(extensions, TEXT)}, required=always)
