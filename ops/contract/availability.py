"""`rate_limits.may_call` and `rate_limits.forecast`: the state of a rate limit at the time of the question.

They read the aggregate and not its row. The row shows the limit as it was observed; whether its window is
over, and which reservations still hold, depends on the time.
"""

from collections.abc import Callable
from typing import Any

import apsw

from bus.contract import codec
from bus.log.states import read_aggregate
from bus.serving.permissions import limited
from bus.serving.queries.reading import QueryVerb
from domain.rate_limits import TABLE
from domain.rate_limits.availability import Availability, availability
from domain.rate_limits.forecast import Forecast, forecast, with_jobs
from domain.rate_limits.job_calls import holds_up
from domain.rate_limits.messages import key_of
from projections.jobs.table import waiting_for_calls
from projections.rate_limits import ForecastRateLimit, MayCallRateLimit, longest_waits


def availability_verbs(clock: Callable[[], int]) -> tuple[QueryVerb, ...]:
    """The two queries; `clock` answers with milliseconds since the epoch."""

    def may_call(connection: apsw.Connection, query: Any) -> bytes:
        state = read_aggregate(connection, TABLE, key_of(query)).state
        return codec.encode(availability(state, query.cost, clock()))

    def forecast_of(connection: apsw.Connection, query: Any) -> bytes:
        return codec.encode(forecast(read_aggregate(connection, TABLE, key_of(query)).state, clock()))

    def forecast_with_jobs(connection: apsw.Connection, query: Any) -> bytes:
        now = clock()
        state = read_aggregate(connection, TABLE, key_of(query)).state
        waiting, cost = waiting_for_calls(connection, query.platform, query.resource, query.identifier, now)
        held_up_until = _held_up_until(connection, key_of(query), now) if waiting else 0
        return codec.encode(with_jobs(forecast(state, now), state, waiting, cost, held_up_until, now))

    return (
        QueryVerb(
            name=f"{TABLE}.may_call",
            shape=MayCallRateLimit,
            gives=Availability,
            answer=may_call,
            limited=limited(TABLE, may_call, key_of),
        ),
        QueryVerb(
            name=f"{TABLE}.forecast",
            shape=ForecastRateLimit,
            gives=Forecast,
            answer=forecast_with_jobs,
            # A user whose rights are limited to some keys must not see how many jobs of other users wait.
            limited=limited(TABLE, forecast_of, key_of),
        ),
    )


def _held_up_until(connection: apsw.Connection, key: str, now: int) -> int:
    """The time until which another limit of the same platform holds this one up; 0 if none does."""
    for one, until in longest_waits(connection, key, now):
        known = read_aggregate(connection, TABLE, one).state
        if known is not None and holds_up(known, key):
            return until
    return 0
