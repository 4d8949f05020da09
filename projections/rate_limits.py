"""The table `rate_limits`, one row a limit; its id is `ratelimit:<key>`."""

from typing import Annotated

import msgspec

from domain import rate_limits
from domain.messages import KeyPart
from domain.rate_limits import RateLimit, key_of, parts_of
from projections.table import Row, Table


class GetRateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None


class CountRateLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits by what they are."""

    platform: KeyPart | None = None
    resource: KeyPart | None = None
    identifier: KeyPart | None = None


class ListRateLimits(CountRateLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits by what they are, in the order of their ids."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None


def _row_id(key: str) -> str:
    return f"ratelimit:{key}"


def _row(known: RateLimit, version: int, position: int) -> Row:
    platform, resource, identifier = parts_of(known.key)
    return (
        _row_id(known.key),
        platform,
        known.remaining,
        known.limit,
        known.reset_time,
        known.updated_at,
        known.created_at,
        resource,
        identifier,
        known.used,
        known.observed_at,
        known.throttled_until,
        known.throttle_reason,
        version,
        position,
    )


TABLE = Table(
    name=rate_limits.TABLE,
    columns=(
        "id",
        "platform",
        "limit_remaining",
        "limit_total",
        "reset_time",
        "last_updated",
        "created_at",
        "resource",
        "identifier",
        "limit_used",
        "observed_at",
        "throttled_until",
        "throttle_reason",
        "version",
        "position",
    ),
    row=_row,
    row_key=_row_id,
    aggregate_key=lambda row_id: row_id.removeprefix("ratelimit:"),
    get_query=GetRateLimit,
    key_of=key_of,
    count_query=CountRateLimits,
    list_query=ListRateLimits,
)
