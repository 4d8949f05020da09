"""Repeats a request until JetStream answers: `when_it_answers`."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bus.transport.jetstream import JetStreamError

# A new stream has no leader for a moment, and the streams of a starting cluster have none for some seconds.
WITHIN_SECONDS = 20.0
PAUSE_SECONDS = 0.2


async def when_it_answers(ask: Callable[[], Awaitable[None]]) -> None:
    """Calls `ask` again and again until JetStream answers; `ask` must be safe to repeat.

    Raises:
        JetStreamError: JetStream did not answer within 20 s.
        Any other error of `ask`.
    """
    until = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            return await ask()
        except JetStreamError:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
