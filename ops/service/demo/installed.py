"""Plays the demo of an installed aggregate with `serve --demo`, if its module has one: `play`.

The module's `DEMO` is a function that gets a `random.Random` and returns pairs of a verb and a body. They are
sent one by one; after the last one, the function is called again. It runs on the event loop of the service,
so making a pair should take no longer than a decision.
"""

import asyncio
import logging
from random import Random
from typing import Any

from bus.client import Client, Unreachable
from domain.errors import Invalid, Refusal
from domain.installed.loading import Installed

# The time between two commands of one aggregate. With more than `MANY_DEMOS` demos, each one sends more
# slowly.
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
MANY_DEMOS = 10

logger = logging.getLogger(__name__)


async def play(client: Client, one: Installed, seed: str, slowness: float) -> None:
    """Sends the commands of an aggregate's demo until it is cancelled, or the demo fails, which is logged."""
    table = one.decider.table
    verbs = {verb.name: one.decider.command_name(verb) for verb in one.decider.verbs if not verb.internal}
    try:
        # Seeded with the number of rows: after a restart with more rows, the decisions are new ones.
        random = Random(f"{seed} {table} {await _rows(client, table)}")
        while True:
            for verb, body in one.demo(random):
                await _pause(random, slowness)
                await _send(client, verbs[verb], body)
            # Also if the demo returns no pairs.
            await _pause(random, slowness)
    except Exception as error:
        logger.warning("the demo of %s, by %s, ended: %s: %s", table, one.source, type(error).__name__, error)


async def _pause(random: Random, slowness: float) -> None:
    await asyncio.sleep(random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) * slowness)


async def _send(client: Client, name: str, body: Any) -> None:
    """Sends a command; the demo ignores a refusal by the domain, and that the service is away."""
    try:
        await client.send(name, body, actor="demo")
    except Invalid:
        # The demo's body is wrong, and would be refused each time.
        raise
    except (Refusal, Unreachable):
        return


async def _rows(client: Client, table: str) -> int:
    try:
        count: int = (await client.query(f"{table}.count", {}))["count"]
    except (Refusal, Unreachable):
        return 0
    return count
