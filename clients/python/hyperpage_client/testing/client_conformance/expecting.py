"""The checks of a case, and the error that says what came instead."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

LOOK_SECONDS = 0.02


class NotAsExpected(Exception):
    """The client did not do what it must."""

    def __init__(self, what: str, *, expected: Any, came: Any) -> None:
        super().__init__(f"{what}: expected {expected!r}, and {came!r} came")
        self.what = what
        self.expected = expected
        self.came = came


def equal(what: str, came: Any, expected: Any) -> None:
    """Checks that two values are equal, as JSON tells values apart: `true` is not 1, and 1.0 is 1.

    Raises:
        NotAsExpected: they are not.
    """
    if not _is_same(came, expected):
        raise NotAsExpected(what, expected=expected, came=came)


def true(what: str, is_so: bool, *, came: Any) -> None:
    """Checks a condition, which `what` says in words.

    Raises:
        NotAsExpected: it does not hold.
    """
    if not is_so:
        raise NotAsExpected(what, expected="that it is so", came=came)


async def until(what: str, look: Callable[[], Any], *, within_seconds: float) -> Any:
    """The first result of `look` that is true; where the result is awaitable, what that gives.

    Raises:
        NotAsExpected: there is none in that time.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        looked = look()
        found = await looked if isinstance(looked, Awaitable) else looked
        if found:
            return found
        if time.monotonic() >= deadline:
            raise NotAsExpected(what, expected=f"that it is so within {within_seconds:g} s", came=found)
        await asyncio.sleep(LOOK_SECONDS)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
