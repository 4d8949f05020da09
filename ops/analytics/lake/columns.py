"""The columns of a lake: of its log, of its tables, and of every row after every event; values in its SQL.

The log has the columns of its table, those of the metadata, and columns for keys of the events' data. Each
key that holds a single value in some type of event is a column, `data_<key>`. It has the event's value, or
the default if the event leaves the key out. The keys follow from the catalogue of events.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import msgspec

from domain.catalogue import EVENT_TYPES, INSTALLED
from domain.messages import Event
from migrations import runner
from migrations.connection import open_memory, write_transaction
from projections import installed_tables
from projections.table import TEXTS
from projections.tables import TABLE_COLUMNS

if TYPE_CHECKING:
    import pyarrow

METADATA = ("actor", "correlation_id", "causation_id", "traceparent", "principal")
# The columns of the log's table; `data` is NULL where it is no text.
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
# The columns that the log's files have in any case, before those of the catalogue of events.
_OF_EVERY_LOG = (
    EVENT_COLUMNS | {"data_bytes": "BLOB"} | dict.fromkeys(("table_name", "key", *METADATA), "VARCHAR")
)
_TYPES: dict[Any, str] = {
    **dict.fromkeys((str, *TEXTS), "VARCHAR"),
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
}
# The keys that may be part of a column's name.
_PLAIN = re.compile("[a-z][a-z0-9_]*")
# The column that is true in the version of a row that was removed.
DELETED = "deleted"


def key_column(table: str) -> str:
    """The column with the primary key of a table."""
    return TABLE_COLUMNS[table][0]


def log_columns() -> dict[str, str]:
    """Every column of the log as Parquet, with DuckDB's types, in order."""
    return _OF_EVERY_LOG | promoted_columns()


def promoted_columns() -> dict[str, str]:
    """The columns for keys of data, with DuckDB's types, in order of their names."""
    theirs = {name for one in INSTALLED for name in one.decider.events}
    ours = [event for name, event in EVENT_TYPES.items() if name not in theirs]
    return promoted_of(ours, [EVENT_TYPES[name] for name in sorted(theirs)])


def promoted_of(ours: Iterable[type[Event]], theirs: Iterable[type[Event]]) -> dict[str, str]:
    """The columns for keys of the data of our events (`ours`) and of other packages' (`theirs`).

    A key that is no plain name gets no column, since the SQL of a lake does not quote names. Neither does a
    key whose column would have the name of one that every log has.
    """
    # The analyses use the columns of our events, so our types go before those of other packages.
    kinds = _kinds(theirs) | _kinds(ours)
    plain = {f"data_{key}": kind for key, kind in sorted(kinds.items()) if kind and _PLAIN.fullmatch(key)}
    # DuckDB compares names without case, and all of these are in lower case.
    return {column: kind for column, kind in plain.items() if column not in _OF_EVERY_LOG}


def _kinds(events: Iterable[type[Event]]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for event in events:
        for field in msgspec.structs.fields(event):
            kind = _single(field.type)
            # A key that has different types in two types of event gets no column.
            if kind is not None and kinds.setdefault(field.encode_name, kind) != kind:
                kinds[field.encode_name] = ""
    return kinds


@cache
def version_columns() -> dict[str, dict[str, str]]:
    """The columns of each table's versions except for `deleted`, with their declared types, in order.

    The result is cached: callers must not change it.
    """
    with closing(open_memory()) as connection:
        runner.up(connection)
        with write_transaction(connection):
            installed_tables.bring_up_to_date(connection)
        types = {}
        for table, columns in TABLE_COLUMNS.items():
            declared = dict(connection.execute(f"SELECT name, type FROM pragma_table_info('{table}')"))
            types[table] = {column: declared[column] for column in columns} | {"position": "INTEGER"}
        return types


def arrow_schema(declared: Mapping[str, str]) -> "pyarrow.Schema":
    """The Arrow schema of columns with the types that SQLite's table declares for them."""
    import pyarrow

    kinds = {
        "INTEGER": pyarrow.int64(),
        "TEXT": pyarrow.string(),
        "REAL": pyarrow.float64(),
        "BLOB": pyarrow.binary(),
    }
    return pyarrow.schema([(name, kinds[kind]) for name, kind in declared.items()])


def literal(value: object) -> str:
    """A value as a literal of SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def quoted(column: str) -> str:
    """A column's name, quoted for SQL: the files of a lake from elsewhere may use any names."""
    return '"' + column.replace('"', '""') + '"'


def _single(kind: Any) -> str | None:
    """DuckDB's type for a type of single values; `None` for any other."""
    if get_origin(kind) is Annotated:
        return _single(get_args(kind)[0])
    if get_origin(kind) is UnionType:
        kinds = [one for one in get_args(kind) if one is not NoneType]
        return _single(kinds[0]) if len(kinds) == 1 else None
    return _TYPES.get(kind)
