"""Writes many rows with few statements.

Each step of a statement releases Python's global lock and has to wait for it again, up to a whole switch
interval (5 ms) if another thread computes. `executemany` takes a step for each row: a thousand rows that take
2 ms alone took 400 ms beside a busy event loop.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import apsw

# The most rows of a statement: enough to wait seldom, few enough for small statements that are cached.
_LARGEST_CHUNK = 128


def insert_rows(
    connection: apsw.Connection, insert: str, rows: Iterable[Sequence[Any]], conflict: str = ""
) -> None:
    """Inserts rows of equal length: `insert` is the statement up to its VALUES, `conflict` what follows them.

    This is part of the caller's transaction.

    Raises:
        apsw.ConstraintError: a row violates a constraint; earlier statements are not undone.
    """
    remaining = list(rows)
    start = 0
    while start < len(remaining):
        # Powers of two need only a few different statements for any number of rows.
        size = min(_LARGEST_CHUNK, 1 << (len(remaining) - start).bit_length() - 1)
        chunk = remaining[start : start + size]
        statement = _statement(insert, len(chunk[0]), size, conflict)
        connection.execute(statement, tuple(chain.from_iterable(chunk)))
        start += size


def delete_rows(connection: apsw.Connection, table: str, column: str, values: Iterable[str]) -> None:
    """Deletes the rows that have one of these texts in a column, as part of the caller's transaction."""
    gone = tuple(values)
    if gone:
        connection.execute(
            f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM carray(?))",
            (apsw.carray(gone),),
        )


@lru_cache(maxsize=512)
def _statement(insert: str, width: int, size: int, conflict: str) -> str:
    row = f"({','.join('?' * width)})"
    return f"{insert} VALUES {','.join([row] * size)} {conflict}"
