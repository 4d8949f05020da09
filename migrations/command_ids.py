"""The look-up of command ids: by eight bytes of a hash, which take a fifth of the room that ids take."""

from functools import lru_cache
from hashlib import sha256
from typing import Any

import apsw


# Cached, as an id that is looked up is stored next, in the same group of commands. A group has 1,024 at most.
@lru_cache(maxsize=2_048)
def id_hash(command_id: str) -> int:
    """The number of an id in the table `command_ids`: the first eight bytes of its SHA-256, signed.

    Two ids may have the same number, so a look-up has to compare the id itself, too.

    Raises:
        ValueError: SQLite cannot store the id as a text.
    """
    encoded = command_id.encode()
    if 0 in encoded:
        raise ValueError("a command id has a NUL in it")
    return int.from_bytes(sha256(encoded).digest()[:8], "big", signed=True)


def provide_id_hash(connection: apsw.Connection) -> None:
    """Makes `id_hash` an SQL function of a connection."""

    def of(*arguments: Any) -> int:
        return id_hash(arguments[0])

    connection.create_scalar_function("id_hash", of, 1, deterministic=True)
