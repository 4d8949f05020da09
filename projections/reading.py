"""Rows read from a table: one by its key, a page of those that filters leave, and how many these are."""

import glob
from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec

from projections.table import MAXIMUM_GROUPS, Table, as_json, row_json

# How many rows more than a page has are looked at one by one for it, before an index is asked.
ROWS_LOOKED_AT = 1_000

# Terms of a WHERE that all hold, and the values bound in them.
Condition = tuple[list[str], list[Any]]


def get_row(connection: apsw.Connection, table: Table, key: str, *, now: int | None = None) -> bytes | None:
    """The row of an aggregate, as JSON; with `now`, in milliseconds, unless it has expired by then."""
    where, bindings = _not_expired(table, now)
    row = connection.execute(
        f"SELECT {', '.join(table.columns)} FROM {table.name}{_clause([f'{table.primary_key} = ?', *where])}",
        (table.row_key(key), *bindings),
    ).fetchone()
    return None if row is None else as_json(table, row)


def all_rows(connection: apsw.Connection, table: Table) -> Iterator[tuple[str, bytes]]:
    """Every row as JSON, with the key of its aggregate."""
    for row in connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY 1"):
        yield table.aggregate_key(row[0]), as_json(table, row)


def list_rows(
    connection: apsw.Connection,
    table: Table,
    query: Any,
    *,
    now: int,
    maximum_bytes: int,
    keys: tuple[str, ...] = (),
) -> bytes:
    """A page of rows in the order of the primary key: `{"items": […], "next": cursor or null}`.

    `query.after` is the `next` of the page before. A page ends early before it weighs `maximum_bytes`. What
    has expired by `now`, in milliseconds, is left out, and with `keys` what does not begin with one of them.
    """
    in_range, filters = _range(table, query), _filters(table, query, keys)
    shown = _not_expired(table, now)
    if filters[0]:
        page = _keys_of_page(connection, table, in_range, all_of(shown, filters), query.limit + 1)
        where, bindings = [f"{table.primary_key} IN (SELECT value FROM json_each(?))"], [page]
    else:
        where, bindings = all_of(in_range, shown)
    columns = ", ".join(table.listed.__struct_fields__)
    statement = f"SELECT {columns} FROM {table.name}{_clause(where)} ORDER BY 1 LIMIT ?"
    rows = connection.execute(statement, (*bindings, query.limit + 1))
    return page_of(((row[0], row_json(table.listed, row)) for row in rows), query.limit, maximum_bytes)


def _keys_of_page(
    connection: apsw.Connection, table: Table, in_range: Condition, filters: Condition, limit: int
) -> str:
    """The first `limit` primary keys in a range that filters leave, as a list in JSON.

    A column's index has its rows in no order of the primary key: SQLite would sort all of a status, be it a
    million, for each page. So the next rows in order are looked at first, which mostly have a page of what is
    frequent; what is rare is found by its index.
    """
    key, name = table.primary_key, table.name
    most = limit + ROWS_LOOKED_AT
    next_rows = f"(SELECT * FROM {name}{_clause(in_range[0])} ORDER BY 1 LIMIT {most}) AS {name}"
    sources = (
        (next_rows, filters[0], (*in_range[1], *filters[1])),
        (name, *all_of(in_range, filters)),
    )
    found: list[Any] = []
    for source, where, bindings in sources:
        statement = f"SELECT {key} FROM {source}{_clause(where)} ORDER BY 1 LIMIT ?"
        found = connection.execute(statement, (*bindings, limit)).fetchall()
        if len(found) == limit:
            break
    return msgspec.json.encode([one for (one,) in found]).decode()


def page_of(found: Iterable[tuple[str | int, bytes]], limit: int, maximum_bytes: int) -> bytes:
    """A page of items, each with its cursor: `{"items": […], "next": the last one, or null at the end}`.

    It ends after `limit` of them, or early, before it weighs `maximum_bytes`; it has one at least.
    """
    items: list[bytes] = []
    size = 0
    last = following = None
    for cursor, item in found:
        size += len(item) + 1
        if len(items) == limit or (items and size > maximum_bytes):
            following = last
            break
        items.append(item)
        last = cursor
    return b'{"items":[' + b",".join(items) + b'],"next":' + msgspec.json.encode(following) + b"}"


def count_rows(
    connection: apsw.Connection, table: Table, query: Any, *, now: int, keys: tuple[str, ...] = ()
) -> bytes:
    """How many rows the filters leave of those that have not expired by `now`: `{"count": n}`.

    Where the query says `by` which column, `groups` has how many have each of its values, the most first,
    and `groups_left_out` how many of these are too many.
    """
    where, bindings = all_of(_not_expired(table, now), _filters(table, query, keys), _range(table, query))
    source = f"{table.name}{_clause(where)}"
    if (by := getattr(query, "by", None)) is None:
        count = connection.execute(f"SELECT count(*) FROM {source}", bindings).get
        return msgspec.json.encode({"count": count})
    groups = connection.execute(
        f"SELECT {by}, count(*) FROM {source} GROUP BY 1 ORDER BY 2 DESC, 1", bindings
    ).fetchall()
    shown = [{"value": value, "count": count} for value, count in groups[:MAXIMUM_GROUPS]]
    return msgspec.json.encode(
        {
            "count": sum(count for _, count in groups),
            "groups": shown,
            "groups_left_out": len(groups) - len(shown),
        }
    )


def all_of(*conditions: Condition) -> Condition:
    """What holds where each of them does."""
    return [one for where, _ in conditions for one in where], [
        one for _, bound in conditions for one in bound
    ]


def _filters(table: Table, query: Any, keys: tuple[str, ...]) -> Condition:
    """What the rows are chosen by, apart from where they are in the order of the primary key."""
    where, bindings = [], []
    if keys:
        where.append("(" + " OR ".join(f"{table.primary_key} GLOB ?" for _ in keys) + ")")
        bindings += [f"{glob.escape(table.row_key(key))}*" for key in keys]
    for name in query.__struct_fields__:
        value = getattr(query, name)
        if value is not None and name not in ("by", "limit", "after", "prefix"):
            where.append(table.conditions.get(name, f"{name} = ?"))
            bindings.append(value)
    return where, bindings


def _range(table: Table, query: Any) -> Condition:
    """Where the rows are in the order of the primary key: with the prefix, and behind the page before."""
    where: list[str] = []
    bindings: list[Any] = []
    after = getattr(query, "after", None)
    if after is not None:
        where.append(f"{table.primary_key} > ?")
        bindings.append(after)
    if prefix := getattr(query, "prefix", None):
        # A range, not LIKE: the index of the primary key finds it.
        where += [f"{table.primary_key} >= ?", f"{table.primary_key} < ?"]
        # A later page begins where the one before ended, whichever of the bounds SQLite searches by.
        bindings += [max(prefix, after or ""), prefix[:-1] + chr(ord(prefix[-1]) + 1)]
    return where, bindings


def _not_expired(table: Table, now: int | None) -> Condition:
    if table.expiry_column is None or now is None:
        return [], []
    return [f"({table.expiry_column} IS NULL OR {table.expiry_column} > ?)"], [now]


def _clause(where: list[str]) -> str:
    return " WHERE " + " AND ".join(where) if where else ""
