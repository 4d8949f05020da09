"""Asking a JetStream that is getting ready: `when_it_answers`."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bus.transport.jetstream import JetStreamError

# A stream that was just made has no leader for a moment, and a cluster that just began none for some seconds.
WITHIN_SECONDS = 20.0
PAUSE_SECONDS = 0.2


async def when_it_answers(ask: Callable[[], Awaitable[None]]) -> None:
    """Asks again and again until JetStream answers; what was done by then must not mind.

    Raises:
        JetStreamError: it did not within 20 s; and what else `ask` raises.
    """
    until = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            return await ask()
        except JetStreamError:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
