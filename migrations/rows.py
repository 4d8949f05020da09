"""Writes many rows with few statements.

Each step of a statement gives up Python's global lock and has to wait for it again, up to a whole switch
interval (5 ms) if another thread computes. `executemany` takes a step for each row: a thousand rows that take
2 ms alone took 400 ms beside a busy event loop.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import apsw

# The most rows of a statement: enough to share the waiting, few enough for quick statements that are kept.
_LARGEST_CHUNK = 128


def insert_rows(
    connection: apsw.Connection, insert: str, rows: Iterable[Sequence[Any]], conflict: str = ""
) -> None:
    """Inserts rows of equal length: `insert` is the statement up to its VALUES, `conflict` what follows them.

    It is part of the caller's transaction.

    Raises:
        apsw.ConstraintError: a row must not be there; the statements before it stay done.
    """
    remaining = list(rows)
    start = 0
    while start < len(remaining):
        # Powers of two make few different statements, whatever the number of rows.
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
