"""Writing the log as Parquet: `write_events`, `write_rows`. Its columns are made of those of the table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bus.log import chain
from domain.catalogue import EVENT_TYPES
from ops.analytics.export.row_groups import ROW_GROUP_ROWS, in_groups, write_groups
from ops.analytics.export.sealed_source import HEAVY_ROW_BYTES, IS_ROW, SealedSource
from ops.analytics.lake.columns import EVENT_COLUMNS, METADATA, arrow_schema, literal, promoted_columns
from ops.analytics.lake.files import File
from ops.analytics.lake.layout import EVENTS, stretch_path
from ops.analytics.lake.session import Connection
from projections.table import as_text

if TYPE_CHECKING:
    import pyarrow

_OF_BIGINT = 2**63
# `data` is text; bytes, which another application may keep in the log, go to `data_bytes`.
_OF_SQLITE = {"BIGINT": "INTEGER", "VARCHAR": "TEXT", "BLOB": "BLOB"}
_COLUMNS = {name: (_OF_SQLITE[kind], name) for name, kind in EVENT_COLUMNS.items()} | {
    "data": ("TEXT", "iif(typeof(data) = 'text', data, NULL)"),
    "data_bytes": ("BLOB", "iif(typeof(data) = 'blob', data, NULL)"),
}


def write_events(
    lake: Path,
    engine: Connection,
    source: SealedSource,
    timeline: int,
    first: int,
    last: int,
) -> File:
    """Writes the events of a range of positions; the file is whole and on disk when this returns."""
    where = f"position BETWEEN {first} AND {last}"
    row_bytes = source.bytes_in_row("events", last, where)
    with source.batches(_COLUMNS, f"events WHERE {where}", row_bytes) as reader:
        return _write(lake, engine, reader, timeline, first, last, row_bytes)


def write_rows(lake: Path, engine: Connection, rows: Sequence[chain.Row], timeline: int) -> File:
    """Writes events that are in memory; the file is whole and on disk when this returns."""
    import pyarrow

    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for row in rows:
        for name in chain.Row.__struct_fields__:
            value = getattr(row, name)
            is_bytes = name == "data" and isinstance(value, bytes)
            columns[name].append(None if is_bytes else value)
            if name == "data":
                columns["data_bytes"].append(value if is_bytes else None)
    columns[IS_ROW] = [1] * len(rows)
    kinds = {name: kind for name, (kind, _) in _COLUMNS.items()} | {IS_ROW: "INTEGER"}
    table = pyarrow.table(columns, schema=arrow_schema(kinds))
    row_bytes = table.nbytes // len(rows)
    return _write(lake, engine, table, timeline, rows[0].position, rows[-1].position, row_bytes)


def _write(
    lake: Path,
    engine: Connection,
    rows: "pyarrow.RecordBatchReader | pyarrow.Table",
    timeline: int,
    first: int,
    last: int,
    row_bytes: int,
) -> File:
    query = _expressions(f"(SELECT * FROM rows_of_events WHERE {IS_ROW} = 1)")
    groups = in_groups(_batches(engine, query, rows, row_bytes), ROW_GROUP_ROWS)
    return write_groups(lake, stretch_path(lake, EVENTS, timeline, first, last), groups)


def _batches(
    engine: Connection,
    query: str,
    rows: "pyarrow.RecordBatchReader | pyarrow.Table",
    row_bytes: int,
) -> "Iterator[pyarrow.RecordBatch]":
    """The result of a query over `rows_of_events` that maps each row by itself."""
    import pyarrow

    # Heavy rows are queried batch by batch, since DuckDB holds some thousand rows at a time, or all of them.
    sources: Iterable[pyarrow.RecordBatchReader | pyarrow.Table] = [rows]
    if row_bytes > HEAVY_ROW_BYTES:
        batches = rows.to_batches() if isinstance(rows, pyarrow.Table) else rows
        sources = (pyarrow.Table.from_batches([batch]) for batch in batches)
    for source in sources:
        engine.register("rows_of_events", source)
        try:
            yield from engine.sql(query).to_arrow_reader(ROW_GROUP_ROWS)
        finally:
            engine.unregister("rows_of_events")


def _expressions(source: str) -> str:
    """DuckDB's query for the columns of the log, from rows with the columns of the table `events`."""
    columns = promoted_columns()
    keys = {column.removeprefix("data_"): kind for column, kind in columns.items()}
    # Other applications may keep events in the log that are no JSON.
    ours = f"type IN ({', '.join(literal(name) for name in sorted(EVENT_TYPES))})"
    body = f"CASE WHEN {ours} THEN json_transform(data, {literal(_shape(keys))}) END"
    metadata = f"json_transform(metadata, {literal(_shape(dict.fromkeys(METADATA, 'VARCHAR')))})"
    defaults = defaults_of(EVENT_TYPES, keys)
    promoted = [f"{_with_default(key, defaults[key])} AS data_{key}" for key in keys]
    of_metadata = [f"metadata_.{name} AS {name}" for name in METADATA]
    return (
        f"SELECT {', '.join(EVENT_COLUMNS)}, data_bytes,"
        " split_part(stream, '/', 1) AS table_name, substr(stream, instr(stream, '/') + 1) AS key,"
        f" {', '.join((*of_metadata, *promoted))}"
        f" FROM (SELECT *, {body} AS body_, {metadata} AS metadata_ FROM {source})"
    )


def defaults_of(
    types: Mapping[str, type[msgspec.Struct]], keys: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The default of each key, by the type of event that may leave it out. `keys` have DuckDB's types.

    A key may have another type in another event: a default that its column cannot hold is left out.
    """
    found: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for name, event in types.items():
        for field in msgspec.structs.fields(event):
            key = field.encode_name
            default = as_text(field.default)
            if key in keys and _is_of(keys[key], default):
                found[key][name] = default
    return found


def _is_of(kind: str, default: Any) -> bool:
    if isinstance(default, bool) or kind == "BOOLEAN":
        return isinstance(default, bool) and kind == "BOOLEAN"
    if kind == "VARCHAR":
        return isinstance(default, str)
    if isinstance(default, float):
        return kind == "DOUBLE" and isfinite(default)
    return isinstance(default, int) and -_OF_BIGINT <= default < _OF_BIGINT


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
