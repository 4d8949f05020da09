"""Values of the state whose time is over, as the writer finds them: by the index of their table.

Nothing is kept in memory, so a restart loses none; what could not be written is found again the next time.
"""

import apsw

from bus.writing.group_context import Projections
from bus.writing.submission import Request, Submission
from domain.catalogue import VERBS

# What is behind them is found the next time; until then, it is not shown any more either.
MAXIMUM_AT_ONCE = 1_000


def expiries(projections: Projections, connection: apsw.Connection, now: int) -> list[Submission]:
    """The service's own commands that end what has expired by now, the longest expired first."""
    decider, verb = VERBS["app_state.expire"]
    keys = projections.expired_states(connection, now, MAXIMUM_AT_ONCE)
    return [
        Submission(
            requests=[Request(decider=decider, verb=verb, command=verb.command(key=key))], size_bytes=0
        )
        for key in keys
    ]
