"""Refusals of platforms: how long to wait after a call was refused."""

from domain.rate_limits.headers import Response
from domain.rate_limits.messages import Throttled
from domain.rate_limits.reading import Reading
from domain.rate_limits.state import RateLimit

# The wait after a refusal that does not say for how long, and the most that it grows to.
FIRST_WAIT_MS = 60_000
LONGEST_WAIT_MS = 3_600_000
# Refusals this close together are one: their calls were under way at the same time.
BURST_MS = 5_000
# Retry-After is in whole seconds, so the same moment differs by this much each time that it is told.
RETRY_JITTER_MS = 1_000


def refused(state: RateLimit | None, response: Response, at: int) -> Throttled | None:
    """The wait that a refusal asks for; `None` if it belongs to a known refusal, and asks for no longer wait.

    It lasts until Retry-After ends; else, if nothing remains, until the reset; else longer with each refusal.
    """
    last = state if state is not None and state.refusals else None
    ends_at = (None if state is None else state.throttled_until) or 0
    until = _told(response, at)
    is_known = last is not None and (last.throttled_widely or not response.is_wide)
    if last is not None and is_known and at < ends_at and at - (last.refused_at or 0) < BURST_MS:
        if until is None or until <= ends_at + RETRY_JITTER_MS:
            return None
        refusals = last.refusals
    else:
        refusals = _count(last, at)
    return Throttled(
        until=max(at + _wait_ms(refusals) if until is None else until, ends_at),
        reason=response.reason,
        refusals=refusals,
        refused_at=at,
        wide=response.is_wide or (last is not None and last.throttled_widely and at < ends_at),
    )


def _told(response: Response, at: int) -> int | None:
    """The moment until which the platform says to wait."""
    if response.retry_at is not None:
        return response.retry_at
    resets = (one.reset_time or 0 for one in response.readings if _is_spent(one))
    latest = max(resets, default=0)
    return latest if latest > at else None


def _is_spent(reading: Reading) -> bool:
    # A response that tells the reset alone, as Jira's do, tells it because of the refusal.
    return reading.remaining == 0 or reading == Reading(reset_time=reading.reset_time)


def _count(last: RateLimit | None, at: int) -> int:
    """The number of this refusal. One long after the wait for the last one is the first again."""
    if last is None or at > (last.throttled_until or 0) + _wait_ms(last.refusals):
        return 1
    return last.refusals + 1


def _wait_ms(refusals: int) -> int:
    # The count has no end, so it is bounded before the shift.
    return min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(refusals - 1, 10))
