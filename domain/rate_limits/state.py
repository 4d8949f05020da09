"""The state of a limit: its policies as observed, and the calls that are set aside."""

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from domain.rate_limits.messages import CRITICAL_PERCENT, WARNING_PERCENT

TABLE = "rate_limits"

# The longest window of the platforms that do not tell its length: GitHub's and Jira's.
ASSUMED_WINDOW_MS = 3_600_000

# How much of a limit is used, as a word.
RateLimitLevel = Literal["unknown", "normal", "warning", "critical"]
# The levels, from the mildest to the most severe.
_SEVERITY: tuple[RateLimitLevel, ...] = get_args(RateLimitLevel)


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What remained at a moment of a window."""

    at: int
    remaining: int


class Window(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A window of a policy, as it was known before another one was shown."""

    remaining: int | None
    limit: int | None
    reset_time: int | None
    observed_at: int


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one policy: its present window, samples of it, and the window kept before.

    `left` is what is left beside the calls of jobs, those made and those set aside; `None` as long as no job
    has had any. It is less than nothing where others have taken what was set aside.
    """

    policy: str = ""
    remaining: int | None = None
    left: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    window_ms: int | None = None
    near_limit: bool = False
    observed_at: int
    samples: tuple[Sample, ...] = ()
    before: Window | None = None


class Reservation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Calls that are set aside."""

    id: str
    cost: int
    expires_at: int


class OpenCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Calls that are set aside for the attempt of a job, which began at `since`."""

    job: str
    cost: int
    since: int


class EndedCalls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Calls of attempts that ended at `at` or shortly before."""

    at: int
    calls: int


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one limit; counts in calls, times in milliseconds since the epoch.

    `budgets` has one for each policy. `level` is that of the last event. `is_shared` says that calls have
    been reserved: from then on no observation of fewer calls is left out. `ended_calls` are those that the
    next observation may not know of yet, in the order of their times.
    """

    key: str
    created_at: int
    updated_at: int
    budgets: tuple[Budget, ...] = ()
    level: RateLimitLevel = "unknown"
    throttled_until: int | None = None
    throttle_reason: str | None = None
    throttled_widely: bool = False
    refusals: int = 0
    refused_at: int | None = None
    warning_percent: int = WARNING_PERCENT
    critical_percent: int = CRITICAL_PERCENT
    reservations: tuple[Reservation, ...] = ()
    is_shared: bool = False
    open_calls: tuple[OpenCalls, ...] = ()
    ended_calls: tuple[EndedCalls, ...] = ()

    @property
    def observed_at(self) -> int | None:
        """When the youngest of the kept observations was made."""
        return max((budget.observed_at for budget in self.budgets), default=None)

    @property
    def remaining(self) -> int | None:
        """The calls that the binding policy has left, as it was observed."""
        return None if self.binding is None else self.binding.remaining

    @property
    def binding(self) -> Budget | None:
        """The policy that had the fewest calls left as it was observed; what the row shows."""
        return tightest(self.budgets)


def tightest(budgets: tuple[Budget, ...]) -> Budget | None:
    """The policy with the fewest calls left; among equals, the one whose window lasts longest."""
    return min(
        budgets,
        key=lambda budget: (
            budget.remaining is None,
            budget.remaining or 0,
            -(budget.reset_time or 0),
            budget.policy,
        ),
        default=None,
    )


def level_of(budgets: Iterable[Budget], warning_percent: int, critical_percent: int) -> RateLimitLevel:
    """The most severe level among policies."""
    levels = (_level(one, warning_percent, critical_percent) for one in budgets)
    return max(levels, key=_SEVERITY.index, default="unknown")


def _level(budget: Budget, warning_percent: int, critical_percent: int) -> RateLimitLevel:
    if budget.remaining == 0:
        return "critical"
    if budget.remaining is None or budget.limit is None:
        return "warning" if budget.near_limit else "unknown"
    # Reckoned in whole numbers, so that 80 % is not a little less.
    used = 100 * (budget.limit - budget.remaining)
    if used >= critical_percent * budget.limit:
        return "critical"
    return "warning" if budget.near_limit or used >= warning_percent * budget.limit else "normal"
