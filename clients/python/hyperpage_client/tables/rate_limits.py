"""The table `rate_limits`. Made by `make client`."""

from typing import Unpack

from hyperpage_client.answers.rate_limits import ObserveResponseResult, ReserveResult
from hyperpage_client.commands import rate_limits as commands
from hyperpage_client.queries.rate_limits import RateLimitsQueries
from hyperpage_client.queries.table import Answer, Sent


class RateLimits(RateLimitsQueries):
    """The commands and queries of `rate_limits`."""

    async def observe(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        remaining: int | None = None,
        limit: int | None = None,
        used: int | None = None,
        reset_time: int | None = None,
        observed_at: int | None = None,
        data_fresh: bool = True,
        reservation: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """A platform's report on its limit. `reset_time` and `observed_at` are milliseconds since the epoch.

        Fields that are left out keep their known values within the same window. Observations come often and say
        little new: one becomes an event only if it shows another window, a change of 5 % of the limit or of the
        level, or comes at least a minute after the last one kept. With `data_fresh: false` (it came from a cache,
        say) nothing is kept. `reservation` names the reservation that the calls were made under: it is spent
        then.
        """
        command = commands.Observe(
            platform=platform,
            resource=resource,
            identifier=identifier,
            remaining=remaining,
            limit=limit,
            used=used,
            reset_time=reset_time,
            observed_at=observed_at,
            data_fresh=data_fresh,
            reservation=reservation,
        )
        return await self._send(command, None, about)

    async def observe_response(
        self,
        platform: str,
        status: int,
        headers: dict[str, str | list[str]],
        *,
        resource: str | None = None,
        identifier: str | None = None,
        observed_at: int | None = None,
        rate_limited: bool | None = None,
        reservation: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[ObserveResponseResult]:
        """A platform's answer to a call: its status, and its headers as they came, in upper or lower case.

        Headers that do not concern limits are not looked at, values that make no sense are ignored, and none is
        stored. Without a `resource`, the one in the headers counts (GitHub's `core`, a bucket of Discord's). 429,
        503 with Retry-After, and GitHub's 403 count as a refusal because of a limit; `rate_limited` confirms or
        denies that, where the body told the caller. After a refusal, no call is allowed until Retry-After has
        passed; without that header, until the reset if nothing remains; otherwise for 60 s, twice as long with
        each further refusal. The result is the answer of `may_call`, with the `resource`.
        """
        command = commands.ObserveResponse(
            platform=platform,
            status=status,
            headers=headers,
            resource=resource,
            identifier=identifier,
            observed_at=observed_at,
            rate_limited=rate_limited,
            reservation=reservation,
        )
        return await self._send(command, ObserveResponseResult, about)

    async def throttle(
        self,
        platform: str,
        until: int,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        reason: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """No calls before `until` (milliseconds since the epoch)."""
        command = commands.Throttle(
            platform=platform, until=until, resource=resource, identifier=identifier, reason=reason
        )
        return await self._send(command, None, about)

    async def set_thresholds(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        warning_percent: int = 80,
        critical_percent: int = 95,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """The shares of the limit used, in percent, at which its level becomes warning, and critical."""
        command = commands.SetThresholds(
            platform=platform,
            resource=resource,
            identifier=identifier,
            warning_percent=warning_percent,
            critical_percent=critical_percent,
        )
        return await self._send(command, None, about)

    async def reserve(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        cost: int = 1,
        ttl_ms: int = 60000,
        reservation: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[ReserveResult]:
        """Calls set aside for one worker, so that several workers with one budget do not overshoot it.

        The calls count against what remains until they are released, or confirmed by an observation that names
        the `reservation` (an id is made if none is given), or until `ttl_ms` have passed. `ttl_ms` must be longer
        than the calls may take: later, it is unknown what was made of them. The result says whether they were
        `granted`, and if not, when to try again (`retry_at`, null where waiting does not help). A reservation
        that is not granted makes no event, and is not remembered for the command id. The same reservation again
        gets the same answer. As long as no observation has said what remains, every reservation is granted:
        otherwise no call would be made, and nothing learned.

        Granting and ending are events, since a grant must hold across a crash and count for the next command of
        the same transaction. Expiry makes no event, since it follows from the time. A limit has at most 100 open
        reservations.
        """
        command = commands.Reserve(
            platform=platform,
            resource=resource,
            identifier=identifier,
            cost=cost,
            ttl_ms=ttl_ms,
            reservation=reservation,
        )
        return await self._send(command, ReserveResult, about)

    async def release(
        self,
        platform: str,
        reservation: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        used: int = 0,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """A reservation is not needed any more; `used` of its calls were made, and are taken from what remains.

        It is no error to release a reservation that is not open (any more), and changes nothing: releasing twice
        is safe.
        """
        command = commands.Release(
            platform=platform, reservation=reservation, resource=resource, identifier=identifier, used=used
        )
        return await self._send(command, None, about)

    async def clear(
        self,
        platform: str,
        *,
        resource: str | None = None,
        identifier: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """Forget what is known of this limit, its thresholds and reservations too."""
        command = commands.Clear(platform=platform, resource=resource, identifier=identifier)
        return await self._send(command, None, about)
