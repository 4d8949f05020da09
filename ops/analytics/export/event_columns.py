"""The columns of the log as Parquet: those of the table, what its metadata say, and keys of the events' data.

Each key that holds a single value in some type of event becomes a column, `data_<key>`, with the value that
the event means, also where it was left out because it is the default. Which ones there are, the catalogue of
events says.
"""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import msgspec

from domain.catalogue import EVENT_TYPES

METADATA = ("actor", "correlation_id", "causation_id", "traceparent")
# As the table has them; `data` where it is text.
EVENT_COLUMNS = {
    "position": "BIGINT",
    "stream": "VARCHAR",
    "version": "BIGINT",
    "type": "VARCHAR",
    "recorded_at": "BIGINT",
    "command_id": "VARCHAR",
    "data": "VARCHAR",
    "metadata": "VARCHAR",
    "hash": "BLOB",
}
_TYPES = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}


def promoted_columns() -> dict[str, str]:
    """The columns for keys of data, with DuckDB's types, in order of their names."""
    kinds: dict[str, str] = {}
    for event in EVENT_TYPES.values():
        for field in msgspec.structs.fields(event):
            kind = _single(field.type)
            # What two types of event understand differently stays in `data`.
            if kind is not None and kinds.setdefault(field.encode_name, kind) != kind:
                kinds[field.encode_name] = ""
    return {f"data_{key}": kind for key, kind in sorted(kinds.items()) if kind}


def event_types() -> dict[str, str]:
    """Every column of the log as Parquet, with DuckDB's types, in order."""
    texts = ("table_name", "key", *METADATA)
    return EVENT_COLUMNS | {"data_bytes": "BLOB"} | dict.fromkeys(texts, "VARCHAR") | promoted_columns()


def event_expressions(source: str) -> str:
    """A query of DuckDB's for the columns of the log, from rows as the table `events` has them."""
    columns = promoted_columns()
    keys = {column.removeprefix("data_"): kind for column, kind in columns.items()}
    # What other applications keep in the log may be no JSON.
    ours = f"type IN ({', '.join(_quoted(name) for name in sorted(EVENT_TYPES))})"
    body = f"CASE WHEN {ours} THEN json_transform(data, {_quoted(_shape(keys))}) END"
    metadata = f"json_transform(metadata, {_quoted(_shape(dict.fromkeys(METADATA, 'VARCHAR')))})"
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
        types.setdefault(_literal(default), []).append(_quoted(name))
    cases = "".join(
        f' WHEN type IN ({", ".join(names)}) THEN coalesce(body_."{key}", {default})'
        for default, names in types.items()
    )
    return f'CASE{cases} ELSE body_."{key}" END' if cases else f'body_."{key}"'


def _single(kind: Any) -> str | None:
    """DuckDB's type for a type of single values; `None` for any other."""
    if get_origin(kind) is Annotated:
        return _single(get_args(kind)[0])
    if get_origin(kind) is UnionType:
        kinds = [one for one in get_args(kind) if one is not NoneType]
        return _single(kinds[0]) if len(kinds) == 1 else None
    return _TYPES.get(kind)


def _literal(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
