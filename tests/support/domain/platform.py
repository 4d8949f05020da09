"""A platform that limits calls in a window, by its own clock, and tells its limit in one of the dialects."""

from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple

import msgspec

# How long a caller that called too often is refused.
PAUSE_MS = 60_000


class Answered(NamedTuple):
    """The platform's answer to a call."""

    status: int
    headers: dict[str, str]


class Window(msgspec.Struct, kw_only=True):
    """A limit of calls in a window, which begins with its first call and ends at a whole second."""

    limit: int
    window_ms: int
    used: int = 0
    resets_at: int = 0

    @property
    def left(self) -> int:
        return self.limit - self.used

    def turn(self, here: int) -> bool:
        """Begins a new window if the time of the last is over; returns True if there was one before."""
        if here < self.resets_at:
            return False
        has_been = self.resets_at > 0
        self.used, self.resets_at = 0, -(-(here + self.window_ms) // 1000) * 1000
        return has_been


class Platform(Window, kw_only=True):
    """The platform; its clock is `ahead_ms` ahead of ours, and faster by `drift_ppm` millionths.

    Calls beyond its limit are refused, and counted as `refused`: a client that knows the limit makes none.
    With `short`, the same goes for a second policy. More than `calls_a_minute`, a limit that no header tells,
    get a client refused for a minute; such calls are counted as `slowed`, and such minutes as `pauses`.
    """

    ahead_ms: int = 0
    drift_ppm: int = 0
    short: Window | None = None
    calls_a_minute: int | None = None
    dialect: Callable[["Platform", int], dict[str, str]] = msgspec.field(default_factory=lambda: github)
    refused: int = 0
    slowed: int = 0
    pauses: int = 0
    windows: list[int] = msgspec.field(default_factory=list)
    """How many calls were made in each window before the present one."""
    _first_at: int | None = None
    _paused_until: int = 0
    _minute: int = 0
    _calls_of_minute: int = 0

    def call(self, now: int) -> Answered:
        """The answer to a call that arrives at `now`, by our clock."""
        here = self._here(now)
        used = self.used
        if self.turn(here):
            self.windows.append(used)
        policies = [self] if self.short is None else [self, self.short]
        if self.short is not None:
            self.short.turn(here)
        if self._is_too_often(here):
            self.slowed += 1
            seconds = -(-(self._paused_until - here) // 1000)
            return Answered(403, self._headers(here) | {"retry-after": str(seconds)})
        is_refused = any(one.left <= 0 for one in policies)
        if is_refused:
            self.refused += 1
        else:
            for one in policies:
                one.used += 1
        return Answered(403 if is_refused else 200, self._headers(here))

    def _here(self, now: int) -> int:
        self._first_at = now if self._first_at is None else self._first_at
        return now + self.ahead_ms + (now - self._first_at) * self.drift_ppm // 1_000_000

    def _headers(self, here: int) -> dict[str, str]:
        return {"date": formatdate(here // 1000, usegmt=True)} | self.dialect(self, here)

    def _is_too_often(self, here: int) -> bool:
        if self.calls_a_minute is None:
            return False
        if here < self._paused_until:
            return True
        if here // 60_000 != self._minute:
            self._minute, self._calls_of_minute = here // 60_000, 0
        self._calls_of_minute += 1
        if self._calls_of_minute <= self.calls_a_minute:
            return False
        self._paused_until = here + PAUSE_MS
        self.pauses += 1
        return True


def github(platform: Platform, here: int) -> dict[str, str]:
    """Its windows end at seconds since the epoch, by its own clock."""
    return {
        "x-ratelimit-limit": str(platform.limit),
        "x-ratelimit-remaining": str(platform.left),
        "x-ratelimit-used": str(platform.used),
        "x-ratelimit-reset": str(platform.resets_at // 1000),
        "x-ratelimit-resource": "core",
    }


def gitlab(platform: Platform, here: int) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(platform.limit),
        "RateLimit-Observed": str(platform.used),
        "RateLimit-Remaining": str(platform.left),
        "RateLimit-Reset": str(platform.resets_at // 1000),
        "RateLimit-ResetTime": formatdate(platform.resets_at // 1000, usegmt=True),
    }


def of_the_ietf(platform: Platform, here: int) -> dict[str, str]:
    """As in the IETF's draft: windows end so many seconds from now, and several policies are told."""
    named = {"long": platform} | ({} if platform.short is None else {"short": platform.short})
    return {
        "RateLimit-Policy": ", ".join(
            f'"{name}";q={one.limit};w={-(-one.window_ms // 1000)}' for name, one in named.items()
        ),
        "RateLimit": ", ".join(
            f'"{name}";r={one.left};t={-(-(one.resets_at - here) // 1000)}' for name, one in named.items()
        ),
    }
