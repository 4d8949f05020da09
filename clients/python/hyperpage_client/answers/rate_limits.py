"""Rows, results and answers of `rate_limits`. Made by `make client`."""

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    ObserveResponseLevel = Literal["unknown", "normal", "warning", "critical"]
else:
    # A newer service may have more.
    ObserveResponseLevel = str


class ObserveResponseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a response: whether another call is allowed, and the resource that it was counted for."""

    resource: str | None = None
    allowed: bool
    retry_at: int | None = None
    remaining: int | None = None
    level: ObserveResponseLevel
    stale: bool


class ReserveResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a reservation: whether it was granted, else when to try again."""

    granted: bool
    reservation: str | None = None
    expires_at: int | None = None
    retry_at: int | None = None
    remaining: int | None = None
    level: ObserveResponseLevel
    stale: bool


class ObservedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One of the policies that bind a limit, as it was observed."""

    policy: str
    remaining: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    window_ms: int | None = None
    observed_at: int


class RateLimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, as it was observed. Times are milliseconds since the epoch."""

    id: str
    platform: str
    limit_remaining: int | None = None
    limit_total: int | None = None
    reset_time: int | None = None
    last_updated: int
    created_at: int
    resource: str | None = None
    identifier: str | None = None
    limit_used: int | None = None
    observed_at: int | None = None
    throttled_until: int | None = None
    throttle_reason: str | None = None
    version: int
    position: int
    level: ObserveResponseLevel
    policy: str
    policies: tuple[ObservedPolicy, ...] | None = None
    warning_percent: int
    critical_percent: int
    reserved: int


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Whether calls are allowed now."""

    allowed: bool
    retry_at: int | None = None
    remaining: int | None = None
    level: ObserveResponseLevel
    stale: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """When the first policy runs out of calls, by the observations kept of its present window."""

    burn_rate: float | None = None
    runs_out_at: int | None = None
    runs_out_before_reset: bool | None = None
    reset_time: int | None = None
    remaining: int | None = None
    limit: int | None = None
    policy: str
    level: ObserveResponseLevel
    stale: bool
    jobs_waiting: int | None = None
    jobs_from: int | None = None
