"""How command ids are looked up: by eight bytes of a hash, which take a fifth of the room that ids take."""

from functools import lru_cache
from hashlib import sha256
from typing import Any

import apsw


# An id that is looked up is remembered next, in the same group of commands, which has a thousand at most.
@lru_cache(maxsize=2_048)
def id_hash(command_id: str) -> int:
    """The number under which an id stands in `command_ids`: the first eight bytes of its SHA-256, signed.

    Two ids may have the same one: whoever looks one up compares the id itself, too.

    Raises:
        ValueError: no text of SQLite's can hold the id.
    """
    encoded = command_id.encode()
    if 0 in encoded:
        raise ValueError("a command id has a NUL in it")
    return int.from_bytes(sha256(encoded).digest()[:8], "big", signed=True)


def provide_id_hash(connection: apsw.Connection) -> None:
    """Makes `id_hash` a function of SQL on a connection."""

    def of(*arguments: Any) -> int:
        return id_hash(arguments[0])

    connection.create_scalar_function("id_hash", of, 1, deterministic=True)
