"""`RateLimit` and `RateLimit-Policy` of the IETF's draft, which name several policies at once.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers: lists of items with parameters, and in
its seventh version one dictionary. What is malformed is ignored, as the draft asks.
"""

from typing import Any

import http_sf
from http_sf import StructuredFieldError

from domain.rate_limits.header_values import MAXIMUM_COUNT, MAXIMUM_WAIT_MS
from domain.rate_limits.reading import Reading

# A response with more is none that anybody has seen.
MAXIMUM_POLICIES = 8
MAXIMUM_NAME = 64


def readings_in(rate_limit: str | None, rate_limit_policy: str | None, at: int) -> tuple[Reading, ...]:
    """What the two fields say at `at`, a reading for each policy, at most eight.

    Where only the policies are given, it is known how much there is, but not what remains of it.
    """
    policies = _policies(rate_limit_policy)
    limits = _service_limits(rate_limit, at)
    readings = limits or {name: Reading(policy=name) for name in policies}
    return tuple(_joined(reading, policies.get(name)) for name, reading in readings.items())[
        :MAXIMUM_POLICIES
    ]


def _joined(limit: Reading, policy: tuple[int | None, int | None] | None) -> Reading:
    quota, window_ms = policy or (None, None)
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


def _policies(field: str | None) -> dict[str, tuple[int | None, int | None]]:
    """The quota of each policy, and its window in milliseconds."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for name, parameters in _items(field):
        quota, window = _number(parameters.get("q")), _number(parameters.get("w"))
        window_ms = None if window is None else window * 1000
        if quota is not None:
            found[name] = (quota, window_ms)
        elif name.isdigit():
            # Before they had names, the item was the quota itself: `100;w=60`.
            found[""] = (_number(int(name)), window_ms)
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
