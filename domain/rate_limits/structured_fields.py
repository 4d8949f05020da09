"""`RateLimit` and `RateLimit-Policy` of the IETF's draft, which name several policies at once.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers: lists of items with parameters, and in
its seventh version one dictionary. Malformed fields are ignored, as the draft asks.
"""

from typing import Any, NamedTuple

import http_sf
from http_sf import StructuredFieldError

from domain.rate_limits.header_values import MAXIMUM_COUNT, MAXIMUM_WAIT_MS
from domain.rate_limits.reading import Reading

# The most policies of a response; more are not known of any platform.
MAXIMUM_POLICIES = 8
MAXIMUM_NAME = 64
# The unit of a policy that does not tell it.
_CALLS = "requests"


def readings_in(rate_limit: str | None, rate_limit_policy: str | None, at: int) -> tuple[Reading, ...]:
    """The readings of the two fields at `at`, one for each policy, at most eight.

    If only the policies are given, the readings have their limits, but not what remains. A policy that does
    not count calls (but bytes, say) is left out, unless nothing is left of it: then it counts until its
    reset.
    """
    policies = _policies(rate_limit_policy)
    limits = _service_limits(rate_limit, at)
    readings = limits or {name: Reading(policy=name) for name in policies}
    joined = (_joined(reading, policies.get(name, _UNKNOWN)) for name, reading in readings.items())
    return tuple(one for one in joined if one is not None)[:MAXIMUM_POLICIES]


class _Policy(NamedTuple):
    """The promise of a policy: its quota, its window in milliseconds, and the unit of its counts."""

    quota: int | None = None
    window_ms: int | None = None
    unit: str = _CALLS


_UNKNOWN = _Policy()


def _joined(limit: Reading, policy: _Policy) -> Reading | None:
    quota, window_ms, unit = policy
    if unit != _CALLS:
        # The policy counts bytes, or simultaneous calls. Once it is spent, it holds calls up all the same.
        is_spent = limit.remaining == 0 and limit.reset_time is not None
        return Reading(policy=limit.policy, remaining=0, reset_time=limit.reset_time) if is_spent else None
    total = limit.limit if limit.limit is not None else quota
    if limit.remaining is not None and total is not None and limit.remaining > total:
        total = None
    return Reading(
        policy=limit.policy,
        remaining=limit.remaining,
        limit=total,
        reset_time=limit.reset_time,
        window_ms=window_ms,
    )


def _service_limits(field: str | None, at: int) -> dict[str, Reading]:
    if field is not None and "=" in field and isinstance(parsed := _parse(field, "dictionary"), dict):
        named = {name: _number(item[0]) for name, item in parsed.items()}
        if named.keys() & {"limit", "remaining", "reset"}:
            reading = Reading(
                remaining=named.get("remaining"),
                limit=named.get("limit"),
                reset_time=_reset(named.get("reset"), at),
            )
            return {"": reading}
    found = {}
    for name, parameters in _items(field):
        remaining, reset = _number(parameters.get("r")), _number(parameters.get("t"))
        if remaining is not None or reset is not None:
            found[name] = Reading(policy=name, remaining=remaining, reset_time=_reset(reset, at))
    return found


def _policies(field: str | None) -> dict[str, _Policy]:
    found: dict[str, _Policy] = {}
    for name, parameters in _items(field):
        quota, window = _number(parameters.get("q")), _number(parameters.get("w"))
        window_ms = None if window is None else window * 1000
        if quota is not None:
            found[name] = _Policy(quota, window_ms, str(parameters.get("qu", _CALLS)))
        elif name.isdigit():
            # In drafts without names, the item is the quota itself: `100;w=60`.
            found[""] = _Policy(_number(int(name)), window_ms)
    return found


def _items(field: str | None) -> list[tuple[str, dict[str, Any]]]:
    parsed = None if field is None else _parse(field, "list")
    if not isinstance(parsed, list):
        return []
    # An inner list has no name of its own.
    named = [(str(item), parameters) for item, parameters in parsed if not isinstance(item, list | bytes)]
    return [(name, parameters) for name, parameters in named if len(name) <= MAXIMUM_NAME]


def _parse(field: str, kind: str) -> Any:
    try:
        return http_sf.parse(field.encode("ascii"), tltype=kind)
    except (StructuredFieldError, UnicodeEncodeError):
        return None


def _number(value: Any) -> int | None:
    # A parameter without a value is `True`, which Python counts as 1.
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAXIMUM_COUNT else None


def _reset(seconds: int | None, at: int) -> int | None:
    return None if seconds is None or seconds * 1000 > MAXIMUM_WAIT_MS else at + seconds * 1000
