"""A platform with GitHub's header dialect: so many calls in a window, by a clock of its own."""

from email.utils import formatdate
from typing import NamedTuple

import msgspec


class Answered(NamedTuple):
    """What it answered to a call."""

    status: int
    headers: dict[str, str]


class Platform(msgspec.Struct, kw_only=True):
    """`ahead_ms` is how far its clock is ahead of ours. A window begins with its first call.

    It answers calls beyond its limit, and counts them as `refused`: nobody who knows the limit makes any.
    """

    limit: int
    window_ms: int
    ahead_ms: int = 0
    used: int = 0
    resets_at: int = 0
    refused: int = 0
    windows: list[int] = msgspec.field(default_factory=list)
    """How many calls were made in each window before the present one."""

    def call(self, now: int) -> Answered:
        """A call that reaches it at `now`, by our clock."""
        here = now + self.ahead_ms
        if here >= self.resets_at:
            if self.resets_at:
                self.windows.append(self.used)
            # In whole seconds, as it tells it.
            self.used, self.resets_at = 0, -(-(here + self.window_ms) // 1000) * 1000
        is_refused = self.used >= self.limit
        if is_refused:
            self.refused += 1
        else:
            self.used += 1
        headers = {
            "date": formatdate(here // 1000, usegmt=True),
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.limit - self.used),
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-reset": str(self.resets_at // 1000),
            "x-ratelimit-resource": "core",
        }
        return Answered(403 if is_refused else 200, headers)
