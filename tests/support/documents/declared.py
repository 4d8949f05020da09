"""A check that an answer (a row, a result, the answer to a query) is exactly of its declared type."""

from typing import Any

import msgspec


def assert_is(kind: Any, said: bytes) -> None:
    """JSON that has what a type says, member for member, and nothing else."""
    decoded = msgspec.json.decode(said, type=kind)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == msgspec.json.decode(said)
