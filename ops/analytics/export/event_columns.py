"""The columns of the log as a lake has them, made of those of the table: `event_expressions`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.catalogue import EVENT_TYPES
from ops.analytics.lake.columns import EVENT_COLUMNS, METADATA, promoted_columns
from ops.analytics.lake.literals import literal


def event_expressions(source: str) -> str:
    """A query of DuckDB's for the columns of the log, from rows as the table `events` has them."""
    columns = promoted_columns()
    keys = {column.removeprefix("data_"): kind for column, kind in columns.items()}
    # Other applications may keep what is no JSON in the log.
    ours = f"type IN ({', '.join(literal(name) for name in sorted(EVENT_TYPES))})"
    body = f"CASE WHEN {ours} THEN json_transform(data, {literal(_shape(keys))}) END"
    metadata = f"json_transform(metadata, {literal(_shape(dict.fromkeys(METADATA, 'VARCHAR')))})"
    defaults: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for name, event in EVENT_TYPES.items():
        for field in msgspec.structs.fields(event):
            if field.encode_name in keys and field.default not in (None, msgspec.NODEFAULT):
                defaults[field.encode_name][name] = field.default
    promoted = [f"{_with_default(key, defaults[key])} AS data_{key}" for key in keys]
    of_metadata = [f"metadata_.{name} AS {name}" for name in METADATA]
    return (
        f"SELECT {', '.join(EVENT_COLUMNS)}, data_bytes,"
        " split_part(stream, '/', 1) AS table_name, substr(stream, instr(stream, '/') + 1) AS key,"
        f" {', '.join((*of_metadata, *promoted))}"
        f" FROM (SELECT *, {body} AS body_, {metadata} AS metadata_ FROM {source})"
    )


def _shape(keys: Mapping[str, str]) -> str:
    return msgspec.json.encode(keys).decode()


def _with_default(key: str, defaults: Mapping[str, Any]) -> str:
    """The value of a key; where an event leaves it out, the default of its type."""
    types: dict[str, list[str]] = {}
    for name, default in defaults.items():
        types.setdefault(literal(default), []).append(literal(name))
    cases = "".join(
        f' WHEN type IN ({", ".join(names)}) THEN coalesce(body_."{key}", {default})'
        for default, names in types.items()
    )
    return f'CASE{cases} ELSE body_."{key}" END' if cases else f'body_."{key}"'
