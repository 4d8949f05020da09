"""Values of the state whose time is over, as the writer finds them: by the index of their table.

Nothing is kept in memory, so a restart loses none; what could not be written is found again the next time.
"""

import logging

import apsw

from bus.group_context import Projections
from bus.submission import Request, Submission
from domain.catalogue import VERBS

# What is behind them is found the next time; until then, it is not shown any more either.
MAXIMUM_AT_ONCE = 1_000

logger = logging.getLogger(__name__)


def expiries(projections: Projections, connection: apsw.Connection, now: int) -> list[Submission]:
    """The service's own commands that end what has expired by now, the longest expired first."""
    decider, verb = VERBS["app_state.expire"]
    try:
        keys = projections.expired_states(connection, now, MAXIMUM_AT_ONCE)
    except apsw.Error as error:
        # Everybody waits for the writer's thread; it must outlive a disk that cannot be read for a while.
        logger.warning("expired values could not be looked for: %s", error)
        return []
    return [
        Submission(
            requests=[Request(decider=decider, verb=verb, command=verb.command(key=key))], size_bytes=0
        )
        for key in keys
    ]
