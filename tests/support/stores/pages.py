"""The pages of a store's file, by their table and kind, and damage to them."""

import random
from pathlib import Path

import apsw

PAGE_BYTES = 4096
# Damage to an overflow page keeps the number of the next one, so that SQLite's own check finds nothing.
_BEHIND_THE_LINK = 4


def pages_of(connection: apsw.Connection, table: str, kind: str) -> list[int]:
    """The pages of a table or an index (`leaf`, `internal`, `overflow` or `any`), all of them in the file."""
    connection.set_busy_timeout(5_000)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    found = connection.execute("SELECT pageno, pagetype FROM dbstat WHERE name = ?", (table,))
    return [page for page, its_kind in found if kind in ("any", its_kind)]


def overwrite(store: Path, page: int, chance: random.Random) -> None:
    """Overwrites a page with noise, on disk."""
    size = chance.randint(100, PAGE_BYTES - _BEHIND_THE_LINK)
    with store.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES + _BEHIND_THE_LINK)
        file.write(chance.randbytes(size))
