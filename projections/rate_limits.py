"""The table `rate_limits`, with one row for each limit; the id of a row is `ratelimit:<key>`."""

from collections.abc import Iterator
from typing import Annotated

import apsw
import msgspec

from domain import rate_limits
from domain.messages import KeyPart, about
from domain.rate_limits.availability import STALE_AFTER_MS
from domain.rate_limits.messages import Cost, key_of, parts_of
from domain.rate_limits.state import Budget, RateLimit, RateLimitLevel
from projections.table import Row, Table, page_query


class GetRateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None


class MayCallRateLimit(GetRateLimit, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether `cost` calls are allowed now, by what is known of the limit and by its reservations."""

    cost: Cost = 1


class ForecastRateLimit(GetRateLimit, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the budget runs out if calls go on at their present pace, and whether that is before the reset.

    Also how many due jobs wait for its calls, and until when.
    """


class CountRateLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits that match the filters."""

    platform: KeyPart | None = None
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    level: RateLimitLevel | None = None


class ObservedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One of the policies that bind a limit, as it was observed."""

    policy: str
    remaining: int | None
    limit: int | None
    used: int | None
    reset_time: int | None
    window_ms: int | None
    observed_at: int


class RateLimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, as it was observed. Times are milliseconds since the epoch."""

    id: Annotated[str, about("`ratelimit:` and the key")]
    platform: str
    limit_remaining: Annotated[int | None, about("how many calls are left in the window")]
    limit_total: Annotated[int | None, about("how many calls a window allows")]
    reset_time: Annotated[int | None, about("when the next window begins")]
    last_updated: int
    created_at: int
    resource: str | None
    identifier: str | None
    limit_used: int | None
    observed_at: Annotated[int | None, about("when the newest observation was made")]
    throttled_until: int | None
    throttle_reason: str | None
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    level: Annotated[RateLimitLevel, about("how much of the limit is used")]
    policy: Annotated[str, about("the policy with the fewest calls left; the counts are its own")]
    policies: Annotated[
        tuple[ObservedPolicy, ...] | None,
        about("all policies; null if none has a name: the columns have the only one"),
    ]
    warning_percent: int
    critical_percent: int
    reserved: Annotated[int, about("how many calls are set aside, by reservations and for running jobs")]


def _row_id(key: str) -> str:
    return f"ratelimit:{key}"


def _row(known: RateLimit, version: int, position: int) -> Row:
    platform, resource, identifier = parts_of(known.key)
    binding = known.binding or Budget(observed_at=0)
    return (
        _row_id(known.key),
        platform,
        binding.remaining,
        binding.limit,
        binding.reset_time,
        known.updated_at,
        known.created_at,
        resource,
        identifier,
        binding.used,
        known.observed_at,
        known.throttled_until,
        known.throttle_reason,
        version,
        position,
        known.level,
        binding.policy,
        _policies(known),
        known.warning_percent,
        known.critical_percent,
        sum(one.cost for one in known.reservations) + sum(one.cost for one in known.open_calls),
    )


def _policies(known: RateLimit) -> str | None:
    """Every policy as it was observed; `None` if the other columns hold all of it."""
    if all(budget.policy == "" for budget in known.budgets):
        return None
    policies = msgspec.convert(known.budgets, tuple[ObservedPolicy, ...], from_attributes=True)
    return msgspec.json.encode(policies).decode()


def throttled_limits(connection: apsw.Connection, now: int) -> Iterator[str]:
    """The keys of the limits that are throttled at `now`."""
    for (row_id,) in connection.execute("SELECT id FROM rate_limits WHERE throttled_until > ?", (now,)):
        yield TABLE.aggregate_key(row_id)


def longest_waits(connection: apsw.Connection, key: str, now: int) -> Iterator[tuple[str, int]]:
    """The throttled limits that may hold up the one with this key, and until when, the longest wait first."""
    platform, _, identifier = parts_of(key)
    for row_id, until in connection.execute(_LONGEST_WAITS, (platform, now, identifier)):
        yield TABLE.aggregate_key(row_id), until


_LONGEST_WAITS = """
SELECT id, throttled_until FROM rate_limits
 WHERE platform = ? AND throttled_until > ? AND (resource IS NULL OR identifier IS ?)
 ORDER BY throttled_until DESC
"""


class CallsLeft(msgspec.Struct, frozen=True, kw_only=True):
    """The calls that the tightest limit of a platform's resource has left, of `limit`, until `resets_at`.

    `resource` is empty for the platform as a whole; `limit` and `resets_at` are `None` where they are
    unknown.
    """

    platform: str
    resource: str
    calls: int
    limit: int | None
    resets_at: int | None


def calls_left(connection: apsw.Connection, now: int) -> Iterator[CallsLeft]:
    """The calls that are left for each resource of each platform at a moment, as far as that is known.

    After its reset, a limit is full again. While a limit is throttled, it has no calls left. An old
    observation of a window with an unknown end does not count. Reserved calls are not subtracted.

    Raises:
        msgspec.ValidationError: a row holds values that no event leads to.
    """
    for row in connection.execute(_CALLS_LEFT, {"now": now}):
        if row[2] is not None:
            # A row that was changed by hand may hold any value.
            yield msgspec.convert(dict(zip(CallsLeft.__struct_fields__, row, strict=True)), CallsLeft)


# The other columns are those of the row with the minimum: https://sqlite.org/lang_select.html#bareagg
_CALLS_LEFT = f"""
WITH budgets(platform, resource, throttled_until, remaining, total, reset_time, observed_at) AS (
 SELECT platform, resource, throttled_until, limit_remaining, limit_total, reset_time, observed_at
  FROM rate_limits WHERE policies IS NULL
 UNION ALL
 SELECT platform, resource, throttled_until, value ->> 'remaining', value ->> 'limit', value ->> 'reset_time',
  value ->> 'observed_at'
  FROM rate_limits, json_each(policies)
)
SELECT platform, coalesce(resource, ''),
 min(CASE
  WHEN throttled_until > :now THEN 0
  WHEN reset_time <= :now THEN total
  WHEN reset_time IS NULL AND observed_at < :now - {STALE_AFTER_MS} THEN NULL
  ELSE remaining
 END),
 total,
 CASE WHEN throttled_until > :now THEN throttled_until WHEN reset_time > :now THEN reset_time END
FROM budgets GROUP BY platform, resource
"""


_PART = r"[A-Za-z0-9][A-Za-z0-9._@/+=-]{0,63}"


def _key_parts(key: str) -> dict[str, str]:
    names = ("platform", "resource", "identifier")
    return {name: part for name, part in zip(names, parts_of(key), strict=True) if part is not None}


TABLE = Table(
    name=rate_limits.TABLE,
    shape=RateLimitRow,
    row=_row,
    row_key=_row_id,
    aggregate_key=lambda row_id: row_id.removeprefix("ratelimit:"),
    get_query=GetRateLimit,
    key_of=key_of,
    key_parts=_key_parts,
    key_rule=(
        rf"^(ratelimit:)?{_PART}(:{_PART}){{0,2}}$",
        "`platform`, `platform:resource` or `platform:identifier:resource`, or the row's id",
    ),
    count_query=CountRateLimits,
    list_query=page_query(CountRateLimits, "Limits that match the filters, in the order of their ids."),
)
