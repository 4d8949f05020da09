"""How long a test waits for what is promised within a time.

Most of what tests wait for tells nobody when it is there: a file, another process, a part under test.

A promise is about a machine that does nothing else. `make prove` holds the service to its word; the default
suite runs on any machine, beside anything, and waits several times as long before it fails.
"""

import asyncio
import os
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

# Many times what the slowest needs, so that only a hang meets it.
COMES_WITHIN_SECONDS = 30.0
# How many times as long as is promised.
PATIENCE = float(os.environ.get("PATIENCE") or 6)


def patiently(promised_seconds: float) -> float:
    """How many seconds to wait for what is promised within so many."""
    return promised_seconds * PATIENCE


def _pause(waited_seconds: float) -> float:
    """How many seconds until the next look: what takes long is not asked for all the time.

    A tenth of what was waited already, so that a test waits no more than a tenth longer than it has to.
    """
    return min(max(waited_seconds / 10, 0.005), 0.05)


async def until(condition: Callable[[], Any], seconds: float = COMES_WITHIN_SECONDS) -> None:
    """Returns when the condition holds, or what it answers with does once it is awaited."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if isawaitable(holds) else holds:
                return
            await asyncio.sleep(_pause(time.monotonic() - began))


def wait_for(condition: Callable[[], Any], seconds: float = COMES_WITHIN_SECONDS) -> Any:
    """What the condition answers once that is true.

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
