"""Rate limits of other people's APIs: what is left, of how much, until when.

    absent --observe, throttle--> present --observe, throttle--> present --clear--> absent

The key is `<platform>`, `<platform>:<resource>` or `<platform>:<identifier>:<resource>`.
Observations come often and say little new: one becomes an event when it shows another window, a change of
5 % of the limit, or is a minute younger than the last one kept.
"""

from typing import Annotated, Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import Invalid, NotFound
from domain.messages import Command, Event, KeyPart, Recorded, Text, Time

TABLE = "rate_limits"

COALESCE_MS = 60_000
COALESCE_FRACTION = 0.05
# An observation from further ahead than this comes from a clock that is wrong.
MAXIMUM_CLOCK_LEAD_MS = 300_000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Keyed(Command, frozen=True, kw_only=True):
    """Which limit: an identifier (an account, a host) needs a resource."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None


class Observe(Keyed, frozen=True, kw_only=True):
    """What a platform said of its limit. `reset_time` and `observed_at` in milliseconds since the epoch."""

    remaining: Count | None = None
    limit: Count | None = None
    used: Count | None = None
    reset_time: Time | None = None
    observed_at: Time | None = None
    data_fresh: bool = True


class Throttle(Keyed, frozen=True, kw_only=True):
    """No calls before `until` (milliseconds since the epoch)."""

    until: Time
    reason: Text | None = None


class Clear(Keyed, frozen=True, kw_only=True):
    """Forget what is known of this limit."""


class Observed(Event, frozen=True, kw_only=True):
    remaining: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    observed_at: int


class Throttled(Event, frozen=True, kw_only=True):
    until: int
    reason: str | None = None


class Cleared(Event, frozen=True, kw_only=True):
    pass


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one limit; counts in calls, times in milliseconds since the epoch."""

    key: str
    created_at: int
    updated_at: int
    remaining: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    observed_at: int | None = None
    throttled_until: int | None = None
    throttle_reason: str | None = None


def key_of(command: Any) -> str:
    """The key of a command or a query with `platform`, `resource` and `identifier`.

    Raises:
        Invalid: an identifier without a resource.
    """
    if command.identifier is not None and command.resource is None:
        raise Invalid("an identifier needs a resource", path="$.resource")
    parts = (command.platform, command.identifier, command.resource)
    return ":".join(part for part in parts if part is not None)


def parts_of(key: str) -> tuple[str, str | None, str | None]:
    """Platform, resource and identifier of a key."""
    match key.split(":"):
        case [platform]:
            return platform, None, None
        case [platform, resource]:
            return platform, resource, None
        case [platform, identifier, resource]:
            return platform, resource, identifier
        case _:
            raise ValueError(f"not the key of a rate limit: {key}")


def _observe(state: RateLimit | None, command: Observe, context: Context, key: str) -> Decision:
    observed_at = context.now if command.observed_at is None else command.observed_at
    if observed_at > context.now + MAXIMUM_CLOCK_LEAD_MS:
        raise Invalid(
            "observed_at lies in the future",
            hint="set the clock, or leave the field out",
            path="$.observed_at",
        )
    remaining, limit, used = _completed(command)
    event = Observed(
        remaining=remaining, limit=limit, used=used, reset_time=command.reset_time, observed_at=observed_at
    )
    if not command.data_fresh or not _says_something_new(state, event):
        return Decision()
    return Decision(events=((key, event),))


def _completed(command: Observe) -> tuple[int | None, int | None, int | None]:
    # Any two of the three give the third.
    remaining, limit, used = command.remaining, command.limit, command.used
    if remaining is None and limit is not None and used is not None:
        remaining = max(0, limit - used)
    elif used is None and limit is not None and remaining is not None:
        used = max(0, limit - remaining)
    elif limit is None and remaining is not None and used is not None:
        limit = remaining + used
    if remaining is None and limit is None and used is None and command.reset_time is None:
        raise Invalid("an observation says at least one of remaining, limit, used, reset_time", path="$")
    return remaining, limit, used


def _says_something_new(state: RateLimit | None, event: Observed) -> bool:
    if state is None or state.observed_at is None:
        return True
    if event.observed_at < state.observed_at:
        return False
    if (event.reset_time, event.limit) != (state.reset_time, state.limit):
        return True
    if event.observed_at - state.observed_at >= COALESCE_MS:
        return True
    if event.remaining is None or state.remaining is None:
        return event.remaining != state.remaining
    if event.remaining != state.remaining and 0 in (event.remaining, state.remaining):
        # The last call, and the first one again, are what callers wait for.
        return True
    change = abs(event.remaining - state.remaining)
    return change > 0 and (event.limit is None or change >= COALESCE_FRACTION * event.limit)


def _throttle(state: RateLimit | None, command: Throttle, context: Context, key: str) -> Decision:
    if state is not None and (state.throttled_until, state.throttle_reason) == (
        command.until,
        command.reason,
    ):
        return Decision()
    return Decision(events=((key, Throttled(until=command.until, reason=command.reason)),))


def _clear(state: RateLimit | None, command: Clear, context: Context, key: str) -> Decision:
    if state is None:
        raise NotFound(f"nothing is known of {key}")
    return Decision(events=((key, Cleared()),))


def evolve(state: RateLimit | None, recorded: Recorded) -> RateLimit | None:
    """What is known of the limit after an event."""
    event, at = recorded.event, recorded.recorded_at
    known = state or RateLimit(key=recorded.key, created_at=at, updated_at=at)
    match event:
        case Observed():
            return msgspec.structs.replace(
                known,
                remaining=event.remaining,
                limit=event.limit,
                used=event.used,
                reset_time=event.reset_time,
                observed_at=event.observed_at,
                updated_at=at,
            )
        case Throttled():
            return msgspec.structs.replace(
                known, throttled_until=event.until, throttle_reason=event.reason, updated_at=at
            )
        case Cleared():
            return None
        case _:
            raise TypeError(f"not an event of a rate limit: {type(event).__name__}")


DECIDER = Decider(
    table=TABLE,
    state=RateLimit,
    evolve=evolve,
    events={
        "rate_limit.observed.v1": Observed,
        "rate_limit.throttled.v1": Throttled,
        "rate_limit.cleared.v1": Cleared,
    },
    verbs=(
        Verb(name="observe", command=Observe, key=key_of, decide=_observe),
        Verb(name="throttle", command=Throttle, key=key_of, decide=_throttle),
        Verb(name="clear", command=Clear, key=key_of, decide=_clear),
    ),
)
