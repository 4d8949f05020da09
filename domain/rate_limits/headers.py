"""Rate limits in the headers of responses, in the dialects that platforms speak.

| spoken by | headers |
|---|---|
| GitHub | `x-ratelimit-limit`, `-remaining`, `-used`, `-reset`, `-resource`; `retry-after` |
| GitLab | `RateLimit-Limit`, `-Observed`, `-Remaining`, `-Reset`, `-ResetTime`, `-Name`; `Retry-After` |
| Jira | `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `-NearLimit`; `RateLimit-Reason`; `Beta-RateLimit` |
| Discord | `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `-Reset-After`, `-Bucket`, `-Global`, `-Scope` |
| Slack | `Retry-After` |
| Linear, RapidAPI | `X-RateLimit-Requests-Limit`, `-Remaining`, `-Reset` |
| the IETF's draft | `RateLimit`, `RateLimit-Policy` |
| its versions before the seventh | `RateLimit-Limit`, `-Remaining`, `-Reset` in seconds from now |

A header is read by its form, whichever platform it comes from: proxies and libraries mix the dialects. `Date`
tells how far the platform's clock and ours differ, for moments that are by the platform's clock.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from domain.messages import KeyPart
from domain.rate_limits.header_values import ahead_in, count_in, limit_in, reset_in, wait_end_in
from domain.rate_limits.reading import Reading
from domain.rate_limits.structured_fields import MAXIMUM_NAME, readings_in

# The most characters of a header: most servers refuse longer lines, at 8 KiB.
_Value = Annotated[str, msgspec.Meta(max_length=8_192)]
HeaderName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
# Some clients make a list of a header that came several times.
HeaderValue = _Value | Annotated[list[_Value], msgspec.Meta(max_length=20)]

_MAXIMUM_REASON = 200
_CLASSIC = ("x-ratelimit-", "ratelimit-", "x-rate-limit-", "x-ratelimit-requests-")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Headers = Mapping[str, str]


class Response(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The limits in a response. `retry_at` is the end of Retry-After.

    `is_wide` says that a refusal is about all calls of the caller to the platform, not about one resource.
    """

    readings: tuple[Reading, ...]
    retry_at: int | None
    reason: str | None
    is_refusal: bool
    is_wide: bool = False


def read_response(
    platform: str,
    status: int,
    headers: Mapping[str, str | Sequence[str]],
    at: int,
    rate_limited: bool | None = None,
) -> Response:
    """The limits in a response that came at `at`."""
    folded = _folded(headers)
    retry_at = wait_end_in(folded.get("retry-after"), at, ahead_in(folded.get("date"), at))
    readings = _readings(folded, at)
    is_refusal = (
        _is_refusal(platform, status, folded, readings, retry_at) if rate_limited is None else rate_limited
    )
    return Response(
        readings=readings,
        retry_at=retry_at if is_refusal else None,
        reason=_reason(folded) or f"HTTP {status}",
        is_refusal=is_refusal,
        is_wide=is_refusal
        and _is_github(platform, folded)
        and not any(one.remaining == 0 for one in readings),
    )


def named_resource(headers: Mapping[str, str | Sequence[str]]) -> str | None:
    """The resource that the headers name: GitHub's, or Discord's bucket (`global` for its limit over all)."""
    folded = _folded(headers)
    is_global = folded.get("x-ratelimit-global", "").lower() == "true"
    if is_global or folded.get("x-ratelimit-scope", "").lower() == "global":
        return "global"
    named = folded.get("x-ratelimit-resource") or folded.get("x-ratelimit-bucket")
    try:
        return msgspec.convert(named, KeyPart)
    except msgspec.ValidationError:
        # There is none, or it cannot be part of a key.
        return None


def _folded(headers: Mapping[str, str | Sequence[str]]) -> Headers:
    """Headers by their names in lower case; the values of a repeated one are joined (RFC 9110, 5.3)."""
    values: dict[str, list[str]] = {}
    for name, value in headers.items():
        # Jira marks limits that it does not enforce yet with `Beta-`. They are as valid as others.
        plain = re.sub(r"^(x-)?beta-(?=ratelimit)", r"\1", name.strip().lower())
        for one in (value,) if isinstance(value, str) else value:
            # A repeated value counts once.
            if one.strip() not in values.setdefault(plain, []):
                values[plain].append(one.strip())
    return {name: ", ".join(said) for name, said in values.items()}


def _readings(headers: Headers, at: int) -> tuple[Reading, ...]:
    named = readings_in(headers.get("ratelimit"), headers.get("ratelimit-policy"), at)
    classic = _classic_reading(headers, at)
    if classic is None:
        return named
    beside = []
    for reading in named:
        if reading.policy == classic.policy:
            # The response has both forms of one policy; the older form has more in it.
            classic = msgspec.structs.replace(classic, window_ms=reading.window_ms)
        else:
            beside.append(reading)
    return (classic, *beside)


def _classic_reading(headers: Headers, at: int) -> Reading | None:
    near_limit = headers.get("x-ratelimit-nearlimit", "").lower() == "true"
    for prefix in _CLASSIC:
        remaining = count_in(headers.get(f"{prefix}remaining"))
        limit = limit_in(headers.get(f"{prefix}limit"))
        used = count_in(headers.get(f"{prefix}used") or headers.get(f"{prefix}observed"))
        reset_time = _reset(headers, prefix, at)
        if (remaining, limit, used, reset_time) == (None, None, None, None):
            continue
        if remaining is not None and limit is not None and remaining > limit:
            # The two contradict each other: what remains counts, and not the limit.
            limit = None
        return Reading(
            policy=_policy_name(headers),
            remaining=remaining,
            limit=limit,
            used=used,
            reset_time=reset_time,
            near_limit=near_limit,
        )
    return Reading(near_limit=True) if near_limit else None


def _reset(headers: Headers, prefix: str, at: int) -> int | None:
    # `Reset-After` comes first, since it does not depend on a clock.
    after = wait_end_in(headers.get(f"{prefix}reset-after"), at)
    if after is not None:
        return after
    ahead_ms = ahead_in(headers.get("date"), at)
    reset = reset_in(headers.get(f"{prefix}reset"), at, ahead_ms)
    return reset if reset is not None else reset_in(headers.get(f"{prefix}resettime"), at, ahead_ms)


def _policy_name(headers: Headers) -> str:
    name = headers.get("ratelimit-name", "")
    return name if len(name) <= MAXIMUM_NAME and not _CONTROL.search(name) else ""


def _reason(headers: Headers) -> str | None:
    reason = _CONTROL.sub("", headers.get("ratelimit-reason", ""))[:_MAXIMUM_REASON]
    return reason or None


def _is_refusal(
    platform: str, status: int, headers: Headers, readings: Sequence[Reading], retry_at: int | None
) -> bool:
    if status == 503:
        return retry_at is not None
    if status != 403:
        return status == 429
    if retry_at is not None or any(reading.remaining == 0 for reading in readings):
        return True
    # A 403 may be the only trace of GitHub's secondary limit, so it counts unless the caller denies it. With
    # other platforms, 403 is a matter of permissions.
    return _is_github(platform, headers)


def _is_github(platform: str, headers: Headers) -> bool:
    """Whether a response is GitHub's, whose secondary limits are about all resources together."""
    return platform == "github" or "x-ratelimit-resource" in headers or "x-github-request-id" in headers
