"""What an aggregate of somebody else sends with `serve --demo`, if its module says so: `play`.

The module has a `DEMO`: a function that is given a `random.Random`, and answers with pairs of a verb and a
body. They are sent one by one, and when there are no more, it is asked again. It is called on the event loop
of the service: what makes a pair takes no longer than a decision does.
"""

import asyncio
import logging
from random import Random
from typing import Any

from bus.client import Client, Unreachable
from domain.errors import Invalid, Refusal
from domain.installed.loading import Installed

# Between two commands of one aggregate. With more than so many of them, each has more time.
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
MANY_DEMOS = 10

logger = logging.getLogger(__name__)


async def play(client: Client, one: Installed, seed: str, slowness: float) -> None:
    """Sends what the aggregate's demo says, until it is cancelled, or the demo fails, which the log says."""
    table = one.decider.table
    verbs = {verb.name: one.decider.command_name(verb) for verb in one.decider.verbs if not verb.internal}
    try:
        # On the same store, the same decisions; and other ones than those that led to what is there already.
        random = Random(f"{seed} {table} {await _rows(client, table)}")
        while True:
            for verb, body in one.demo(random):
                await _pause(random, slowness)
                await _send(client, verbs[verb], body)
            # Also where it says nothing.
            await _pause(random, slowness)
    except Exception as error:
        logger.warning("the demo of %s, by %s, ended: %s: %s", table, one.source, type(error).__name__, error)


async def _pause(random: Random, slowness: float) -> None:
    await asyncio.sleep(random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) * slowness)


async def _send(client: Client, name: str, body: Any) -> None:
    """Sends a command; a refusal by the domain, or that nobody is there, a demo takes as it comes."""
    try:
        await client.send(name, body, actor="demo")
    except Invalid:
        # It would be refused each time.
        raise
    except (Refusal, Unreachable):
        return


async def _rows(client: Client, table: str) -> int:
    try:
        count: int = (await client.query(f"{table}.count", {}))["count"]
    except (Refusal, Unreachable):
        return 0
    return count
