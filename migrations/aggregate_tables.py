"""Tables of aggregates that other distributions bring: made from the columns of their rows, and recorded.

The record has the columns, not SQL: even a forged record in a file leads to nothing but such a table and its
indexes. Record and table stay when the aggregate is no longer installed.
"""

import math
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Literal

import apsw
import msgspec

COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Without two underscores in a row, which separate table and column in the name of an index.
_TABLE_NAME = re.compile(r"[a-z](?:_?[a-z0-9]){0,47}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
MAXIMUM_COLUMNS = 100
MAXIMUM_INDEXES = 10
# The most tables of one file. Recorded tables are also made in memory, to be compared, and more would take
# long.
MAXIMUM_TABLES = 200
MAXIMUM_DEFINITION_CHARACTERS = 64 * 1024
RECORDS = "aggregate_tables"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column with the type that SQLite stores in it."""

    name: Annotated[str, msgspec.Meta(pattern=f"^{COLUMN_NAME.pattern}$(?!\\n)")]
    kind: Literal["TEXT", "INTEGER", "REAL"]
    may_be_null: bool = False

    def takes(self, value: object) -> bool:
        """Whether a strict table accepts the value in this column."""
        if value is None:
            return self.may_be_null
        if self.kind == "TEXT":
            # A lone surrogate cannot be encoded as UTF-8.
            return isinstance(value, str) and not _SURROGATE.search(value)
        if isinstance(value, int):
            return -(2**63) <= value < 2**63
        return self.kind == "REAL" and isinstance(value, float) and math.isfinite(value)


class AggregateTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of an aggregate. `shape` is a hash of the structs and upcasters that its rows follow from.

    `shape` is empty if the table is no longer kept up to date, as its aggregate is not installed.
    """

    name: Annotated[str, msgspec.Meta(pattern=f"^{_TABLE_NAME.pattern}$(?!\\n)")]
    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=3, max_length=MAXIMUM_COLUMNS)]
    indexed: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAXIMUM_INDEXES)] = ()
    shape: str = ""

    def statements(self) -> Iterator[str]:
        """The SQL statements that make the table and its indexes."""
        key, *others = self.columns
        lines = [f"{key.name} TEXT PRIMARY KEY NOT NULL"]
        lines += [f"{one.name} {one.kind}{'' if one.may_be_null else ' NOT NULL'}" for one in others]
        yield f"CREATE TABLE {self.name} (\n  " + ",\n  ".join(lines) + "\n) STRICT"
        for name in self.indexed:
            yield f"CREATE INDEX idx_{self.name}__{name} ON {self.name}({name})"

    @property
    def checksum(self) -> str:
        return sha256("\0".join(self.statements()).encode()).hexdigest()


def recorded_tables(connection: apsw.Connection) -> dict[str, AggregateTable]:
    """The tables of aggregates that a file records, by name; none if the file is of an earlier version.

    Raises:
        msgspec.ValidationError: a record was not written by this program.
    """
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (RECORDS,)).get:
        return {}
    rows = connection.execute(f"SELECT name, definition FROM {RECORDS} LIMIT {MAXIMUM_TABLES + 1}").fetchall()
    if len(rows) > MAXIMUM_TABLES:
        raise msgspec.ValidationError(f"there are more than {MAXIMUM_TABLES} records")
    found = {}
    for name, definition in rows:
        try:
            said = str(definition)[:MAXIMUM_DEFINITION_CHARACTERS]
            one = msgspec.json.decode(said, type=AggregateTable)
        except (RecursionError, msgspec.DecodeError):
            raise msgspec.ValidationError(f"the record of {name!r} is not as it was written") from None
        columns = {column.name for column in one.columns}
        if one.name != name or len(columns) != len(one.columns) or not columns >= set(one.indexed):
            raise msgspec.ValidationError(f"the record of {name!r} is not as it was written")
        found[one.name] = one
    return found


def drop_tables(connection: apsw.Connection) -> None:
    """Drops every recorded table, as part of the caller's transaction; events stay."""
    for name in recorded_tables(connection):
        connection.execute(f"DROP TABLE {name}")


def make_table(connection: apsw.Connection, table: AggregateTable, now: int) -> None:
    """Makes an empty table in place of an older one, as part of the caller's transaction."""
    connection.execute(f"DROP TABLE IF EXISTS {table.name}")
    for statement in table.statements():
        connection.execute(statement)
    record(connection, table, now)


def record(connection: apsw.Connection, table: AggregateTable, now: int) -> None:
    """Records a table's definition at `now`, in milliseconds, as part of the caller's transaction."""
    connection.execute(
        f"INSERT OR REPLACE INTO {RECORDS} (name, definition, checksum, made_at) VALUES (?, ?, ?, ?)",
        (table.name, msgspec.json.encode(table).decode(), table.checksum, now),
    )
