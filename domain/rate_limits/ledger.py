"""`left`: the calls that a limit has left after those of jobs, both the ones set aside and the ones made.

Calls are set aside when a job is claimed and count as made when its attempt ends, unless its worker gives
some back. So `left` goes down by the calls that are set aside, and observations only correct it. The
`remaining` calls in an answer of a platform do not tell which calls it had counted by then: those of attempts
under way, and of attempts that ended shortly before, may be counted or not. They are *unsure*, and `left`
lies between

    remaining, less the unsure calls      if none of them was counted yet
    remaining                             if all of them were

Between these two, `left` stays as it was reckoned. If it was reckoned higher, other callers have made calls;
if lower, calls that were set aside were never made. Then it becomes the lower of the two, so that it is never
too high.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from domain.rate_limits.messages import CallsClaimed, CallsEnded
from domain.rate_limits.state import ASSUMED_WINDOW_MS, Budget, EndedCalls, OpenCalls, RateLimit

# The most by which an observation is late, by its way to us and by the difference of clocks together. A later
# one makes `left` lower, and never higher.
LATEST_MS = 30_000
# How long after its end a window counts as over: our clock may be ahead of the platform's, and a call that is
# too early would be one too many in the window before.
RESET_MARGIN_MS = 3_000
# How many times of ended attempts are kept apart; with more, the oldest ones are joined.
MAXIMUM_ENDED = 64
# Attempts that end in the same second are joined.
_TOGETHER_MS = 1_000


def after_claims(known: RateLimit, event: CallsClaimed, at: int) -> RateLimit:
    """The limit after calls were set aside."""
    now = _settled(known, at)
    costs = Counter(one.cost for one in event.jobs)
    opened = tuple(OpenCalls(job=one.job, cost=one.cost, since=at) for one in event.jobs)
    return msgspec.structs.replace(
        now,
        budgets=tuple(with_fewer(budget, charged_for(budget, costs)) for budget in now.budgets),
        open_calls=(*now.open_calls, *opened),
    )


def after_end(known: RateLimit, event: CallsEnded, at: int) -> RateLimit:
    """The limit after the attempt of a job has ended; calls that it gave back are left again."""
    ended = next((one for one in known.open_calls if one.job == event.job), None)
    if ended is None:
        return known
    now = _settled(known, at)
    # `unused` is negative where more calls were made than had been set aside.
    made = max(0, ended.cost - event.unused)
    return msgspec.structs.replace(
        now,
        budgets=tuple(
            with_fewer(budget, charged(budget, made) - charged(budget, ended.cost)) for budget in now.budgets
        ),
        open_calls=tuple(one for one in now.open_calls if one.job != event.job),
        ended_calls=_joined(now.ended_calls, EndedCalls(at=at, calls=made)),
    )


def charged(budget: Budget, calls: int) -> int:
    """How many calls a job takes from a window of a policy: all that it makes, but at most the limit.

    A job with more calls makes them in several windows of a short policy. Where the limit is not known, or 0,
    all its calls count; with 0, a job never has enough.
    """
    return min(calls, budget.limit) if budget.limit else calls


def charged_for(budget: Budget, jobs: Mapping[int, int]) -> int:
    """The same for several jobs: `jobs` has the number of them, by the calls that each makes."""
    return sum(count * charged(budget, calls) for calls, count in jobs.items())


def is_tracked(known: RateLimit) -> bool:
    """Whether calls of the limit were set aside for jobs, so that `left` is reckoned."""
    return bool(known.open_calls or known.ended_calls) or any(one.left is not None for one in known.budgets)


def left_after(known: RateLimit, before: Budget | None, told: Budget, now: int) -> int | None:
    """The `left` of a policy after the observation `told`."""
    if told.remaining is None:
        return None
    lowest = told.remaining - _unsure_calls(known, told, min(told.observed_at, now))
    reckoned = None if before is None else left_at(known, before, now)
    if before is None or reckoned is None or reckoned > told.remaining:
        return lowest
    # A repeated or old observation does not raise it: it may lack calls that are not unsure any more.
    is_news = (before.remaining, before.reset_time) != (told.remaining, told.reset_time)
    return max(reckoned, lowest) if is_news and told.observed_at >= now - LATEST_MS else reckoned


def _unsure_calls(known: RateLimit, budget: Budget, observed_at: int) -> int:
    """How many calls of jobs an observation of that time may not have counted yet."""
    since = min((one.since for one in known.open_calls), default=observed_at)
    since = min(since, observed_at - LATEST_MS)
    ended = sum(charged(budget, one.calls) for one in known.ended_calls if one.at >= since)
    return ended + sum(charged(budget, one.cost) for one in known.open_calls)


def left_at(known: RateLimit, budget: Budget, now: int) -> int | None:
    """The calls that a policy has left at a moment; `None` where that is not known."""
    if is_over(budget, now):
        return None if budget.limit is None else left_of_a_new_window(known, budget, budget.limit, now)
    return free(budget)


def free(budget: Budget) -> int | None:
    """The calls that a policy has left after those of jobs, as long as its window lasts."""
    return budget.remaining if budget.left is None else budget.left


def is_over(budget: Budget, now: int, margin_ms: int = RESET_MARGIN_MS) -> bool:
    """Whether the window of a policy is over, with a margin for clocks that differ."""
    return budget.reset_time is not None and now >= budget.reset_time + margin_ms


def forgotten_after_ms(budget: Budget) -> int:
    """How long after an attempt's end its calls may still count in a window that was not observed."""
    return (budget.window_ms or ASSUMED_WINDOW_MS) + RESET_MARGIN_MS


def left_of_a_new_window(known: RateLimit, budget: Budget, limit: int, now: int) -> int:
    """The calls that a new window has left: its limit, less calls of jobs that may be counted in it."""
    began = max((budget.reset_time or 0) - RESET_MARGIN_MS, now - forgotten_after_ms(budget))
    ended = sum(charged(budget, one.calls) for one in known.ended_calls if one.at >= began)
    return limit - ended - sum(charged(budget, one.cost) for one in known.open_calls)


def _settled(known: RateLimit, at: int) -> RateLimit:
    """The limit with new windows for those that are over, and without ended calls that are unsure no more."""
    since = min((one.since for one in known.open_calls), default=at)
    since = min(since, at - 2 * LATEST_MS)
    return msgspec.structs.replace(
        known,
        budgets=tuple(
            begun(known, budget, at) if is_over(budget, at) else budget for budget in known.budgets
        ),
        ended_calls=tuple(one for one in known.ended_calls if one.at >= since),
    )


def begun(known: RateLimit, budget: Budget, at: int) -> Budget:
    """A policy in the window after the observed one, which was not observed yet."""
    is_told = budget.limit is not None
    left = None
    if budget.limit is not None and is_tracked(known):
        left = left_of_a_new_window(known, budget, budget.limit, at)
    return msgspec.structs.replace(
        budget,
        remaining=budget.limit,
        left=left,
        used=0 if is_told else None,
        # The end of the window is not known. Counted from now, it is too late rather than too early.
        reset_time=at + (budget.window_ms or ASSUMED_WINDOW_MS) if is_told else None,
        near_limit=False,
        samples=(),
    )


def with_fewer(budget: Budget, calls: int) -> Budget:
    """The budget with so many calls less in `left`."""
    if budget.left is not None:
        return msgspec.structs.replace(budget, left=budget.left - calls)
    if budget.remaining is None:
        return budget
    return msgspec.structs.replace(budget, left=budget.remaining - calls)


def _joined(ended: tuple[EndedCalls, ...], new: EndedCalls) -> tuple[EndedCalls, ...]:
    """The ended calls with new ones. Calls that are joined have the latest of their times."""
    if ended and new.at // _TOGETHER_MS == ended[-1].at // _TOGETHER_MS:
        return (*ended[:-1], _one(ended[-1], new))
    if len(ended) < MAXIMUM_ENDED:
        return (*ended, new)
    return (_one(ended[0], ended[1]), *ended[2:], new)


def _one(first: EndedCalls, second: EndedCalls) -> EndedCalls:
    return EndedCalls(at=max(first.at, second.at), calls=first.calls + second.calls)
