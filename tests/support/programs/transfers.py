"""Moves amounts between accounts of a store's file for ever, as fast as it can; so their sum is the same."""

import random
import sys
from pathlib import Path

from migrations.connection import open_writer, write_transaction

ACCOUNTS = 400
# As soon as that many pages are in the WAL, they go into the main file: all the time, that is.
CHECKPOINT_PAGES = 8


def prepare(path: Path) -> None:
    """Makes the accounts, each with nothing, and large enough that there are some to a page only."""
    connection = open_writer(path)
    connection.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER, pad TEXT)")
    with write_transaction(connection):
        connection.executemany(
            "INSERT INTO accounts VALUES (?, 0, ?)", ((number, "x" * 1_000) for number in range(ACCOUNTS))
        )
    connection.close()


def transfer(path: Path, seed: int) -> None:
    connection = open_writer(path, checkpoint_pages=CHECKPOINT_PAGES)
    chance = random.Random(seed)
    while True:
        with write_transaction(connection):
            for _ in range(chance.randint(1, 5)):
                one, other = chance.sample(range(ACCOUNTS), 2)
                connection.execute("UPDATE accounts SET amount = amount - 1 WHERE id = ?", (one,))
                connection.execute("UPDATE accounts SET amount = amount + 1 WHERE id = ?", (other,))


if __name__ == "__main__":
    transfer(Path(sys.argv[1]), int(sys.argv[2]))
