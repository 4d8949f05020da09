"""How long a test waits for an effect that is promised within a time.

Most of what tests wait for sends no signal when it is there: a file, another process, a part under test.

A promise is about a machine that does nothing else. `make prove` checks the promised time; the default
suite runs on any machine, beside anything, and waits several times as long before it fails.
"""

import asyncio
import os
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

# Many times what the slowest effect takes, so that only a hang reaches it.
COMES_WITHIN_SECONDS = 30.0
# The factor by which tests wait longer than promised.
PATIENCE = float(os.environ.get("PATIENCE") or 6)


def patiently(promised_seconds: float) -> float:
    """The seconds to wait for an effect that is promised within `promised_seconds`."""
    return promised_seconds * PATIENCE


def _pause(waited_seconds: float) -> float:
    """The seconds until the next check: the longer a test has waited, the less often it checks.

    A tenth of the time that was waited already, so that a test waits at most a tenth longer than it has to.
    """
    return min(max(waited_seconds / 10, 0.005), 0.05)


async def until(condition: Callable[[], Any], seconds: float = COMES_WITHIN_SECONDS) -> None:
    """Returns when the condition is true; a condition may also return an awaitable."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if isawaitable(holds) else holds:
                return
            await asyncio.sleep(_pause(time.monotonic() - began))


def wait_for(condition: Callable[[], Any], seconds: float = COMES_WITHIN_SECONDS) -> Any:
    """The value of the condition once it is true.

    Raises:
        TimeoutError: it never was.
    """
    began = time.monotonic()
    while not (answer := condition()):
        waited = time.monotonic() - began
        if waited > seconds:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(_pause(waited))
    return answer
