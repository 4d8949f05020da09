"""How much of a limit is used, as a word: normal, warning, critical, or unknown."""

from collections.abc import Iterable
from typing import Literal, Protocol, get_args

RateLimitLevel = Literal["unknown", "normal", "warning", "critical"]
# The levels, from the mildest to the most severe.
_SEVERITY: tuple[RateLimitLevel, ...] = get_args(RateLimitLevel)


class Counted(Protocol):
    """Something with counts of calls."""

    @property
    def remaining(self) -> int | None: ...

    @property
    def limit(self) -> int | None: ...

    @property
    def near_limit(self) -> bool: ...


def level_of(counted: Iterable[Counted], warning_percent: int, critical_percent: int) -> RateLimitLevel:
    """The most severe level among policies."""
    levels = (_level(one, warning_percent, critical_percent) for one in counted)
    return max(levels, key=_SEVERITY.index, default="unknown")


def _level(counted: Counted, warning_percent: int, critical_percent: int) -> RateLimitLevel:
    if counted.remaining == 0:
        return "critical"
    if counted.remaining is None or counted.limit is None:
        return "warning" if counted.near_limit else "unknown"
    # Reckoned in whole numbers, so that 80 % is not a little less.
    used = 100 * (counted.limit - counted.remaining)
    if used >= critical_percent * counted.limit:
        return "critical"
    return "warning" if counted.near_limit or used >= warning_percent * counted.limit else "normal"
