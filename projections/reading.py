"""Reads rows of a table: one by its key, a page of those that match filters, and the number of these."""

import glob
from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec

from projections.table import MAXIMUM_GROUPS, Table, as_json, row_json

# The rows that are looked at one by one for a page, beside its limit, before an index is used.
ROWS_LOOKED_AT = 1_000

# The terms of a WHERE clause, joined by AND, and the values bound in them.
Condition = tuple[list[str], list[Any]]


def get_row(connection: apsw.Connection, table: Table, key: str, *, now: int | None = None) -> bytes | None:
    """The row of an aggregate, as JSON; `None` without one, or if it expired by `now`, in milliseconds."""
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

    `query.after` is the `next` of the page before. A page ends early before it weighs `maximum_bytes`. Rows
    that have expired by `now`, in milliseconds, are left out. With `keys`, so are rows whose keys do not
    begin with one of them.
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
    """The first `limit` primary keys in a range that match the filters, as a JSON list.

    The index of a column is not in the order of the primary key: SQLite would sort all rows of a status, even
    a million, for each page. So the next rows in order are looked at first. If many rows match, these mostly
    have a page of them; if few do, the index finds them.
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

    It ends after `limit` items, or earlier, before it weighs `maximum_bytes`. It has one item at least, if
    there is any.
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
    """The number of rows that match the filters and have not expired by `now`: `{"count": n}`.

    If the query names a column in `by`, `groups` has the number of rows for each of its values, the largest
    first, and `groups_left_out` the number of values beyond the limit.
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
    """The conjunction of conditions."""
    return [one for where, _ in conditions for one in where], [
        one for _, bound in conditions for one in bound
    ]


def _filters(table: Table, query: Any, keys: tuple[str, ...]) -> Condition:
    """The condition for the filters of a query, except its range of primary keys."""
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
    """The condition for the range of primary keys: with the query's prefix, and behind the page before."""
    where: list[str] = []
    bindings: list[Any] = []
    after = getattr(query, "after", None)
    if after is not None:
        where.append(f"{table.primary_key} > ?")
        bindings.append(after)
    if prefix := getattr(query, "prefix", None):
        # A range and not LIKE, so that SQLite uses the index of the primary key.
        where += [f"{table.primary_key} >= ?", f"{table.primary_key} < ?"]
        # Both lower bounds are at the end of the page before, so it does not matter which one SQLite uses.
        bindings += [max(prefix, after or ""), prefix[:-1] + chr(ord(prefix[-1]) + 1)]
    return where, bindings


def _not_expired(table: Table, now: int | None) -> Condition:
    if table.expiry_column is None or now is None:
        return [], []
    return [f"({table.expiry_column} IS NULL OR {table.expiry_column} > ?)"], [now]


def _clause(where: list[str]) -> str:
    return " WHERE " + " AND ".join(where) if where else ""
