"""The queries of `rate_limits`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.rate_limits import Availability, Forecast, ObserveResponseLevel, RateLimitRow
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class RateLimitsQueries(Table):
    """The queries of `rate_limits`."""

    async def get(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> RateLimitRow:
        """One limit."""
        return await self._ask(
            "rate_limits.get",
            given(platform=platform, resource=resource, identifier=identifier),
            RateLimitRow,
            timeout_seconds,
        )

    def list(
        self,
        *,
        platform: str | None = None,
        resource: str | None = None,
        identifier: str | None = None,
        level: ObserveResponseLevel | None = None,
        limit: int = 100,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[RateLimitRow]:
        """Limits that match the filters, in the order of their ids."""
        return self._items(
            "rate_limits.list",
            given(platform=platform, resource=resource, identifier=identifier, level=level, limit=limit),
            RateLimitRow,
            timeout_seconds,
        )

    async def count(
        self,
        *,
        platform: str | None = None,
        resource: str | None = None,
        identifier: str | None = None,
        level: ObserveResponseLevel | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> int:
        """Limits that match the filters."""
        return (
            await self._ask(
                "rate_limits.count",
                given(platform=platform, resource=resource, identifier=identifier, level=level),
                Count,
                timeout_seconds,
            )
        ).count

    def history(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        after: int = 0,
        limit: int = 100,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "rate_limits.history",
            given(platform=platform, resource=resource, identifier=identifier, after=after, limit=limit),
            ChangeEvent,
            timeout_seconds,
        )

    async def as_of(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> RateLimitRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "rate_limits.as_of",
            given(platform=platform, resource=resource, identifier=identifier, position=position, time=time),
            RateLimitRow,
            timeout_seconds,
        )

    async def may_call(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        cost: int = 1,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Availability:
        """Whether `cost` calls are allowed now, by what is known of the limit and by its reservations."""
        return await self._ask(
            "rate_limits.may_call",
            given(platform=platform, resource=resource, identifier=identifier, cost=cost),
            Availability,
            timeout_seconds,
        )

    async def forecast(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Forecast:
        """When the budget runs out if calls go on at their present pace, and whether that is before the reset.

        Also how many due jobs wait for its calls, and until when.
        """
        return await self._ask(
            "rate_limits.forecast",
            given(platform=platform, resource=resource, identifier=identifier),
            Forecast,
            timeout_seconds,
        )
