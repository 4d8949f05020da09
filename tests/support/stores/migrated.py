"""Databases in memory that have all tables already: for tests that need hundreds of them."""

from functools import cache

import apsw

from migrations.connection import open_memory
from migrations.runner import up


def migrated_memory() -> apsw.Connection:
    """A database of the connection's own, without a row: 0.03 ms, where the migrations take 4 ms."""
    connection = open_memory()
    connection.deserialize("main", _without_rows())
    return connection


@cache
def _without_rows() -> bytes:
    connection = open_memory()
    up(connection)
    return connection.serialize("main")
