"""Moves amounts between accounts of a store's file for ever, as fast as it can; their sum never changes.

The accounts are rows of `app_state`: a file with a table that is not the program's would not be copied.
"""

import random
import sys
from pathlib import Path

from migrations.connection import open_writer, write_transaction

ACCOUNTS = 400
ALL = "FROM app_state WHERE key GLOB 'account-*'"
AMOUNT = "json_extract(value, '$.amount')"
# A checkpoint begins at so few pages that one follows the other.
CHECKPOINT_PAGES = 8


def prepare(path: Path) -> None:
    """Makes the accounts, each with an amount of zero, and so large that only some fit on a page."""
    connection = open_writer(path)
    with write_transaction(connection):
        connection.executemany(
            "INSERT INTO app_state (key, value, updated_at, version, position)"
            " VALUES (?, json_object('amount', 0, 'pad', ?), 0, 1, 1)",
            ((f"account-{number:03}", "x" * 1_000) for number in range(ACCOUNTS)),
        )
    connection.close()


def transfer(path: Path, seed: int) -> None:
    connection = open_writer(path, checkpoint_pages=CHECKPOINT_PAGES)
    chance = random.Random(seed)
    while True:
        with write_transaction(connection):
            for _ in range(chance.randint(1, 5)):
                one, other = chance.sample(range(ACCOUNTS), 2)
                for account, change in ((one, -1), (other, 1)):
                    changed = f"json_set(value, '$.amount', {AMOUNT} + ?)"
                    connection.execute(
                        f"UPDATE app_state SET value = {changed} WHERE key = ?",
                        (change, f"account-{account:03}"),
                    )


if __name__ == "__main__":
    transfer(Path(sys.argv[1]), int(sys.argv[2]))
