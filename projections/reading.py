"""Rows read from a table: one by its key, a page of those that filters leave, and how many these are."""

import glob
from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec

from projections.table import MAXIMUM_GROUPS, Table, as_json, row_json


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
    where, bindings = _where(table, query, now, keys)
    if query.after is not None:
        where.append(f"{table.primary_key} > ?")
        bindings.append(query.after)
    columns = ", ".join(table.listed.__struct_fields__)
    statement = f"SELECT {columns} FROM {table.name}{_clause(where)} ORDER BY 1 LIMIT ?"
    rows = connection.execute(statement, (*bindings, query.limit + 1))
    return page_of(((row[0], row_json(table.listed, row)) for row in rows), query.limit, maximum_bytes)


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
    where, bindings = _where(table, query, now, keys)
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


def _where(table: Table, query: Any, now: int, keys: tuple[str, ...] = ()) -> tuple[list[str], list[Any]]:
    where, bindings = _not_expired(table, now)
    if keys:
        where.append("(" + " OR ".join(f"{table.primary_key} GLOB ?" for _ in keys) + ")")
        bindings += [f"{glob.escape(table.row_key(key))}*" for key in keys]
    for name in query.__struct_fields__:
        value = getattr(query, name)
        if value is None or name in ("by", "limit", "after"):
            continue
        if name != "prefix":
            where.append(table.conditions.get(name, f"{name} = ?"))
            bindings.append(value)
        elif value:
            # A range, not LIKE: the index of the primary key finds it.
            where += [f"{table.primary_key} >= ?", f"{table.primary_key} < ?"]
            # A later page begins where the one before ended, whichever of the bounds SQLite searches by.
            first = max(value, getattr(query, "after", None) or "")
            bindings += [first, value[:-1] + chr(ord(value[-1]) + 1)]
    return where, bindings


def _not_expired(table: Table, now: int | None) -> tuple[list[str], list[Any]]:
    if table.expiry_column is None or now is None:
        return [], []
    return [f"({table.expiry_column} IS NULL OR {table.expiry_column} > ?)"], [now]


def _clause(where: list[str]) -> str:
    return " WHERE " + " AND ".join(where) if where else ""
