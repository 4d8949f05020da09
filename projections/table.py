"""The common part of all tables: rows are a pure function of an aggregate, and written once a transaction.

A row follows from the state of its aggregate and from the version and position of its last event. So a row
can be made for any moment, and a rebuild can be compared byte for byte.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin
from uuid import UUID

import apsw
import msgspec

from domain.messages import KEY_PATTERN, KEY_RULES, about
from migrations.aggregate_tables import Column
from migrations.rows import delete_rows, insert_rows

Row = tuple[Any, ...]
Item = TypeVar("Item")
# Types whose values are texts in JSON: a table stores that text, too, and so does a lake.
TEXTS: tuple[type, ...] = (Decimal, UUID, datetime, date, time, timedelta, bytes)
# The most values of a column that are counted in an answer: those with the most rows.
MAXIMUM_GROUPS = 1_000
# The beginning of a key. It is ASCII alone, so that an upper bound for all keys that begin with it can be
# made.
Prefix = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:@/+=-]*$(?!\n)", max_length=200)]


class BesideTable(msgspec.Struct, frozen=True, kw_only=True):
    """A second table of an aggregate, with any number of rows for each, which follow from its events.

    `rows` returns the rows that an event makes or changes, from the states before and after it, the event and
    its time. The first of the `columns` is the primary key; `owner` is the column that holds the primary key
    of the aggregate's row. The rows are deleted when the aggregate ends.
    """

    name: str
    columns: tuple[str, ...]
    owner: str
    rows: Callable[[Any, Any, Any, int], list[Row]]

    @property
    def owner_place(self) -> int:
        """The place of the column `owner`."""
        return self.columns.index(self.owner)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table whose rows are aggregates.

    A row is shown as the struct `shape`, whose fields are the columns: values that are one text in JSON (such
    as a date) are stored as that text, compound values as JSON, and booleans as 0 or 1. `row` makes the
    columns from (state, version, position), in their order, or returns `None` for a state that has no row.
    The first column is the primary key: `row_key` makes it from an aggregate's key, and `aggregate_key` is
    the reverse. In lists, a row is shown as `shorter`, without the last columns, if these can be long. From
    the time in its `expiry_column` on, a row is not shown. Each field of `count_query` and `list_query`,
    except `by`, `limit` and `after`, is a filter on the column of the same name, or one of `conditions`: SQL
    with one parameter. `prefix` is a filter on the primary key.

    If a key has several fields, `key_parts` splits it. `key_rule` is the pattern of keys, and its
    description.

    The table of an installed aggregate is made of `columns_made`, and those in `indexed` get an index; our
    own tables are made by migrations. The rows of a `mirrored` table are in a KV bucket, too.
    """

    name: str
    shape: type[msgspec.Struct]
    row: Callable[[Any, int, int], Row | None]
    get_query: type[Any]
    key_of: Callable[[Any], str]
    count_query: type[Any]
    list_query: type[Any]
    row_key: Callable[[str], str] = str
    aggregate_key: Callable[[str], str] = str
    expiry_column: str | None = None
    beside: BesideTable | None = None
    conditions: Mapping[str, str] = {}
    shorter: type[msgspec.Struct] | None = None
    key_parts: Callable[[str], dict[str, str]] | None = None
    key_rule: tuple[str, str] = (KEY_PATTERN, KEY_RULES[KEY_PATTERN])
    columns_made: tuple[Column, ...] = ()
    indexed: tuple[str, ...] = ()
    mirrored: bool = False

    def key_fields(self, key: str) -> dict[str, str]:
        """The parts of an aggregate's key, by the fields that queries and commands have for them.

        Raises:
            ValueError: it is not a key.
        """
        if self.key_parts is not None:
            return self.key_parts(key)
        return {self.get_query.__struct_fields__[0]: key}

    def misfit(self, row: Row, key: str, version: int, position: int) -> str | None:
        """The fault of an aggregate's row, for a table made of `columns_made`; `None` if it has none."""
        if len(row) != len(self.columns_made):
            return f"it has {len(row)} values for {len(self.columns_made)} columns"
        for column, value in zip(self.columns_made, row, strict=True):
            if not column.takes(value):
                return f"{column.name} is {column.kind} and gets {type(value).__name__}"
        right = {self.primary_key: self.row_key(key), "version": version, "position": position}
        for name, value in zip(self.columns, row, strict=True):
            if right.get(name, value) != value:
                return f"{name} is not the aggregate's own"
        return None

    @property
    def listed(self) -> type[msgspec.Struct]:
        """The struct that a row is shown as in lists."""
        return self.shorter or self.shape

    @property
    def columns(self) -> tuple[str, ...]:
        return self.shape.__struct_fields__

    @property
    def primary_key(self) -> str:
        return self.columns[0]


class RowPage(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A part of the rows, in order."""

    items: tuple[Item, ...]
    next: Annotated[str | None, about("the `after` of the next page, null on the last page")]


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are."""

    count: int


class CountedValue(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows have a value."""

    value: str | None
    count: int


class GroupedCount(Count, frozen=True, kw_only=True):
    """How many rows there are, and how many have each value of the column that is asked for."""

    groups: Annotated[
        tuple[CountedValue, ...] | msgspec.UnsetType,
        about(f"the largest first, {MAXIMUM_GROUPS:,} at most; left out without `by`"),
    ] = msgspec.UNSET
    groups_left_out: Annotated[
        int | msgspec.UnsetType, about("how many groups were left out; left out without `by`")
    ] = msgspec.UNSET


def page_query(filters: type[Any], summary: str, name: str | None = None) -> type[Any]:
    """A query for a page of the rows that match filters; `after` is the `next` of the page before.

    Without a `name`, it is named after `filters`, with `List` in place of `Count`.
    """
    return msgspec.defstruct(
        name or filters.__name__.replace("Count", "List"),
        [("limit", Annotated[int, msgspec.Meta(ge=1, le=1000)], 100), ("after", str | None, None)],
        bases=(filters,),
        namespace={"__doc__": summary},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def write_rows(connection: apsw.Connection, table: Table, rows: Mapping[str, Row | None]) -> None:
    """Writes the rows of a transaction to their table; `None` removes the row with that aggregate key."""
    delete_rows(
        connection,
        table.name,
        table.primary_key,
        [table.row_key(key) for key, row in rows.items() if row is None],
    )
    upsert_rows(connection, table.name, table.columns, [row for row in rows.values() if row is not None])


def upsert_rows(
    connection: apsw.Connection, name: str, columns: tuple[str, ...], rows: Iterable[Row]
) -> None:
    """Inserts rows, or replaces those with the same primary key (the first column) in place."""
    insert, conflict = _upsert(name, columns)
    insert_rows(connection, insert, rows, conflict)


@cache
def _upsert(name: str, columns: tuple[str, ...]) -> tuple[str, str]:
    # Not INSERT OR REPLACE, which deletes the row, and with it all rows that refer to it by a foreign key.
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    return (
        f"INSERT INTO {name} ({', '.join(columns)})",
        f"ON CONFLICT ({columns[0]}) DO UPDATE SET {updates}",
    )


def as_json(table: Table, row: Row) -> bytes:
    """A whole row as JSON, in the order of the columns, with JSON columns as values and booleans as such."""
    return row_json(table.shape, row)


def listed_json(table: Table, row: Row) -> bytes:
    """A row as JSON, in the form that it has in lists."""
    return row_json(table.listed, row[: len(table.listed.__struct_fields__)])


def row_json(shape: type[msgspec.Struct], row: Iterable[Any]) -> bytes:
    """The JSON of a row that is shown as the struct `shape`."""
    values = list(row)
    of_json, booleans = places_of(shape)
    for place in of_json:
        if values[place] is not None:
            values[place] = msgspec.Raw(values[place].encode())
    for place in booleans:
        if values[place] is not None:
            values[place] = bool(values[place])
    named = dict(zip(shape.__struct_fields__, values, strict=True))
    for name in _left_out(shape):
        if named[name] is None:
            del named[name]
    return msgspec.json.encode(named)


@cache
def _left_out(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that are left out of the JSON if their columns are null."""
    return tuple(field.name for field in msgspec.structs.fields(shape) if field.default is msgspec.UNSET)


@cache
def places_of(shape: type[msgspec.Struct]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of the columns that hold JSON, and of those that hold booleans."""
    kinds = [single(field.type) for field in msgspec.structs.fields(shape)]
    of_json = (place for place, kind in enumerate(kinds) if kind not in (bool, int, float, str, *TEXTS))
    return tuple(of_json), tuple(place for place, kind in enumerate(kinds) if kind is bool)


def as_text(value: object) -> object:
    """The text of a value of one of the `TEXTS`, as msgspec writes it; any other value unchanged."""
    return msgspec.to_builtins(value) if isinstance(value, TEXTS) else value


def single(kind: Any) -> Any:
    """The type without `None`, `UNSET` and `Annotated`; for a `Literal`, the type of its values."""
    if get_origin(kind) is Annotated:
        return single(get_args(kind)[0])
    if get_origin(kind) is Literal:
        # A `Literal` of texts and numbers has no single type.
        types = {type(value) for value in get_args(kind) if value is not None}
        return types.pop() if len(types) == 1 else kind
    kinds = [one for one in get_args(kind) if one not in (NoneType, msgspec.UnsetType)]
    return single(kinds[0]) if len(kinds) == 1 and len(get_args(kind)) > 1 else kind
