"""The columns of a lake: of its log, of its tables, and of every row after every event; values in its SQL.

The log has those of its table, what its metadata say, and keys of the events' data. Each key that holds a
single value in some type of event is a column, `data_<key>`, with the value that the event means, also where
it was left out because it is the default. The catalogue of events says which ones there are.
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
# The columns of the log's table; `data` is empty where it is no text.
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
# Those of the log's files whatever the catalogue of events says.
_OF_EVERY_LOG = (
    EVENT_COLUMNS | {"data_bytes": "BLOB"} | dict.fromkeys(("table_name", "key", *METADATA), "VARCHAR")
)
_TYPES: dict[Any, str] = {
    **dict.fromkeys((str, *TEXTS), "VARCHAR"),
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
}
# A key that a column may be called by.
_PLAIN = re.compile("[a-z][a-z0-9_]*")
# The column that says whether a version is of a row that is gone.
DELETED = "deleted"


def key_column(table: str) -> str:
    """The column that tells the rows of a table from each other."""
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
    """The columns for keys of the data of these events, those of others among them.

    A key that is no plain name of a column gets none: the SQL of a lake has names as they are. Nor does one
    whose column would be called as one that every log has.
    """
    # What ours say is analysed by name, whatever somebody else calls what.
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
    """The columns of each table's versions but for `deleted`, with their declared types, in order.

    Nobody changes what is handed out.
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
    """Columns with the types that SQLite's table declares for them."""
    import pyarrow

    kinds = {
        "INTEGER": pyarrow.int64(),
        "TEXT": pyarrow.string(),
        "REAL": pyarrow.float64(),
        "BLOB": pyarrow.binary(),
    }
    return pyarrow.schema([(name, kinds[kind]) for name, kind in declared.items()])


def literal(value: object) -> str:
    """A value as SQL has it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def quoted(column: str) -> str:
    """A name as SQL has it: the files of a lake from elsewhere may call their columns anything."""
    return '"' + column.replace('"', '""') + '"'


def _single(kind: Any) -> str | None:
    """DuckDB's type for a type of single values; `None` for any other."""
    if get_origin(kind) is Annotated:
        return _single(get_args(kind)[0])
    if get_origin(kind) is UnionType:
        kinds = [one for one in get_args(kind) if one is not NoneType]
        return _single(kinds[0]) if len(kinds) == 1 else None
    return _TYPES.get(kind)
