"""When a budget runs out, if calls go on as they did."""

from typing import Annotated

import msgspec

from domain.messages import about
from domain.rate_limits.availability import Availability, Remaining, Stale, availability, budgets_at
from domain.rate_limits.job_calls import calls_from
from domain.rate_limits.state import Budget, RateLimit, RateLimitLevel, tightest

MINUTE_MS = 60_000


class Forecast(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """When the first policy runs out of calls, by the observations kept of its present window."""

    burn_rate: Annotated[float | None, about("calls per minute, null before there are two observations")]
    runs_out_at: Annotated[int | None, about("when the calls run out; null if nothing says that they will")]
    runs_out_before_reset: Annotated[
        bool | None, about("whether they run out before the next window; null if unknown")
    ]
    reset_time: int | None
    remaining: Remaining
    limit: int | None
    policy: str
    level: Annotated[RateLimitLevel, about("`normal`, `warning`, `critical` or `unknown`")]
    stale: Stale
    jobs_waiting: Annotated[
        int | msgspec.UnsetType, about("how many due jobs draw on the limit; left out if none does")
    ] = msgspec.UNSET
    jobs_from: Annotated[
        int | msgspec.UnsetType | None,
        about(
            "when the next of these jobs may run; null if that depends on later events; left out with them"
        ),
    ] = msgspec.UNSET


def forecast(state: RateLimit | None, now: int) -> Forecast:
    """When a limit runs out, if calls go on as they did."""
    here = availability(state, 1, now)
    budgets = () if state is None else budgets_at(state, now)
    running_out = [
        (runs_out_at, budget) for budget in budgets if (runs_out_at := _runs_out_at(budget, now)) is not None
    ]
    if running_out:
        runs_out_at, budget = min(running_out, key=lambda one: (one[0], one[1].policy))
        return _of(here, budget, runs_out_at)
    return _of(here, tightest(budgets) or Budget(observed_at=0), None)


def with_jobs(
    known: Forecast, state: RateLimit | None, waiting: int, cost: int, held_up_until: int, now: int
) -> Forecast:
    """The forecast of a limit that `waiting` due jobs draw on, of which the cheapest makes `cost` calls.

    `held_up_until` is the time until which other limits of its platform hold it up; 0 if none does.
    """
    if not waiting:
        return known
    jobs_from = held_up_until if held_up_until > now else calls_from(state, cost, {}, now)
    return msgspec.structs.replace(known, jobs_waiting=waiting, jobs_from=jobs_from)


def _of(here: Availability, budget: Budget, runs_out_at: int | None) -> Forecast:
    rate, reset_time = _burn_rate(budget), budget.reset_time
    if runs_out_at is not None:
        before_reset = None if reset_time is None else runs_out_at < reset_time
    else:
        before_reset = None if rate is None else False
    return Forecast(
        burn_rate=None if rate is None else round(rate, 3),
        runs_out_at=runs_out_at,
        runs_out_before_reset=before_reset,
        reset_time=reset_time,
        remaining=here.remaining,
        limit=budget.limit,
        policy=budget.policy,
        level=here.level,
        stale=here.stale,
    )


def _burn_rate(budget: Budget) -> float | None:
    if len(budget.samples) < 2:
        return None
    first, last = budget.samples[0], budget.samples[-1]
    elapsed = last.at - first.at
    return None if elapsed <= 0 else (first.remaining - last.remaining) * MINUTE_MS / elapsed


def _runs_out_at(budget: Budget, now: int) -> int | None:
    if budget.remaining is None:
        return None
    if budget.remaining == 0:
        return now
    rate = _burn_rate(budget)
    if not rate:
        return None
    # Counted from the last observation, since the estimate includes the calls made after it; in a full
    # window, counted from now.
    since = budget.samples[-1].at if budget.samples[-1].remaining == budget.remaining else now
    return max(now, since + round(budget.remaining * MINUTE_MS / rate))
