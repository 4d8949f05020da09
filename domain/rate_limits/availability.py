"""The availability of a limit: whether calls are allowed at a moment, and if not, from when on."""

from typing import Annotated

import msgspec

from domain.messages import about
from domain.rate_limits.ledger import free, is_tracked, left_of_a_new_window
from domain.rate_limits.state import Budget, RateLimit, RateLimitLevel, Reservation, level_of

# How old an observation may be: an older one may not be true any more.
STALE_AFTER_MS = 300_000

Remaining = Annotated[int | None, about("the calls left, without those reserved; null if unknown")]
Stale = Annotated[bool, about("whether the last observation is more than five minutes old, or there is none")]


class Availability(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether calls are allowed now."""

    allowed: bool
    retry_at: Annotated[
        int | None, about("when they will be allowed; null if they are, or if waiting does not help")
    ]
    remaining: Remaining
    level: Annotated[RateLimitLevel, about("`normal`, `warning`, `critical` or `unknown`")]
    stale: Stale


def availability(state: RateLimit | None, cost: int, now: int) -> Availability:
    """Whether `cost` calls are allowed now. They are, where nothing is known of the limit."""
    if state is None:
        return Availability(allowed=True, retry_at=None, remaining=None, level="unknown", stale=True)
    allowed = _is_allowed(state, cost, now)
    budgets = budgets_at(state, now)
    return Availability(
        allowed=allowed,
        retry_at=None if allowed else _allowed_from(state, cost, now),
        remaining=_remaining(state, now),
        level=level_of(budgets, state.warning_percent, state.critical_percent),
        stale=is_stale(state.observed_at, now),
    )


def is_stale(observed_at: int | None, now: int) -> bool:
    """Whether an observation is too old to be relied on, or was never made."""
    return observed_at is None or now - observed_at > STALE_AFTER_MS


def budgets_at(state: RateLimit, now: int) -> tuple[Budget, ...]:
    """The policies as they are at a moment: full again after their reset, as far as their limit is known."""
    return tuple(_at(state, budget, now) for budget in state.budgets)


def reservations_at(state: RateLimit, now: int) -> tuple[Reservation, ...]:
    """The reservations that have not expired."""
    return tuple(one for one in state.reservations if one.expires_at > now)


def _at(state: RateLimit, budget: Budget, now: int) -> Budget:
    if budget.reset_time is None or now < budget.reset_time:
        return budget
    limit = budget.limit
    return msgspec.structs.replace(
        budget,
        remaining=limit,
        left=left_of_a_new_window(state, budget, limit, now)
        if limit is not None and is_tracked(state)
        else None,
        used=None if limit is None else 0,
        reset_time=None,
        near_limit=False,
    )


def _remaining(state: RateLimit, now: int) -> int | None:
    left = [calls for one in budgets_at(state, now) if (calls := free(one)) is not None]
    return max(0, min(left) - reserved_at(state, now)) if left else None


def reserved_at(state: RateLimit, now: int) -> int:
    """How many calls are reserved, without those of jobs."""
    return sum(one.cost for one in reservations_at(state, now))


def _is_allowed(state: RateLimit, cost: int, now: int) -> bool:
    if state.throttled_until is not None and now < state.throttled_until:
        return False
    needed = cost + reserved_at(state, now)
    return all(
        (left := free(budget)) is None or left >= needed or is_void(known, now)
        for known, budget in zip(state.budgets, budgets_at(state, now), strict=True)
    )


def is_void(known: Budget, now: int) -> bool:
    """Whether the last observation of a policy does not count any more."""
    # A window without a known end would hold up all calls for ever: without calls there are no observations.
    return known.reset_time is None and is_stale(known.observed_at, now)


def void_from(known: Budget) -> int:
    """The time from which on a policy is void whose window has no known end."""
    return known.observed_at + STALE_AFTER_MS + 1


def _allowed_from(state: RateLimit, cost: int, now: int) -> int | None:
    """The first moment at which enough calls are left again, if attempts of jobs have ended by then."""
    quiet = msgspec.structs.replace(state, open_calls=(), ended_calls=())
    moments = {one.expires_at for one in state.reservations}
    if state.throttled_until is not None:
        moments.add(state.throttled_until)
    for budget in state.budgets:
        moments.add(void_from(budget) if budget.reset_time is None else budget.reset_time)
    return next((one for one in sorted(moments) if one > now and _is_allowed(quiet, cost, one)), None)
