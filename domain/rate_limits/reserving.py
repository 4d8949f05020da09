"""Calls that are set aside for one worker, so that several workers share a budget without overshooting it."""

from typing import Annotated

import msgspec

from domain.decider import Context, Decision
from domain.errors import AlreadyExists, RuleViolated
from domain.messages import about
from domain.rate_limits.availability import (
    Availability,
    Remaining,
    Stale,
    availability,
    reservations_at,
)
from domain.rate_limits.changes import changes
from domain.rate_limits.messages import Release, Released, Reserve, Reserved
from domain.rate_limits.state import RateLimit, RateLimitLevel

# The most reservations of a limit: each is kept in its state, and read with every command.
MAXIMUM_RESERVATIONS = 100


class ReserveResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a reservation: whether it was granted, else when to try again."""

    granted: Annotated[bool, about("whether the calls are reserved")]
    reservation: Annotated[str | None, about("the id of the reservation, null if not granted")]
    expires_at: Annotated[int | None, about("when the reservation expires, null if not granted")]
    retry_at: Annotated[int | None, about("when to try again; null if granted or if waiting does not help")]
    remaining: Remaining
    level: Annotated[RateLimitLevel, about("`normal`, `warning`, `critical` or `unknown`")]
    stale: Stale


def reserve(state: RateLimit | None, command: Reserve, context: Context, key: str) -> Decision:
    """Grants a reservation if its calls are allowed now, beside all that are reserved already."""
    out = () if state is None else reservations_at(state, context.now)
    same = next((one for one in out if one.id == command.reservation), None)
    if same is not None:
        if same.cost != command.cost:
            raise AlreadyExists(
                f"reservation {same.id} is for another number of calls",
                hint="take another id, or release it first",
                cost=same.cost,
            )
        return Decision(result=_answer(availability(state, 1, context.now), same.id, same.expires_at))
    here = availability(state, command.cost, context.now)
    if not here.allowed:
        return Decision(result=_answer(here))
    if len(out) >= MAXIMUM_RESERVATIONS:
        raise RuleViolated(
            "too_many_reservations",
            f"{MAXIMUM_RESERVATIONS} reservations are out for {key}",
            hint="release what is not needed, or reserve more calls at once",
            retry_at=min(one.expires_at for one in out),
        )
    reserved = Reserved(
        reservation=command.reservation or context.new_id(),
        cost=command.cost,
        expires_at=context.now + command.ttl_ms,
    )
    changed = changes(state, (reserved,), context.now, key)
    after = availability(changed.state, 1, context.now)
    grant = _answer(after, reserved.reservation, reserved.expires_at)
    return Decision(events=changed.events, result=grant)


def release(state: RateLimit | None, command: Release, context: Context, key: str) -> Decision:
    """Ends a reservation; if there is no such reservation (any more), nothing changes."""
    ids = () if state is None else (one.id for one in state.reservations)
    if command.reservation not in ids:
        return Decision()
    released = Released(reservation=command.reservation, used=command.used)
    return Decision(events=changes(state, (released,), context.now, key).events)


def _answer(
    here: Availability, reservation: str | None = None, expires_at: int | None = None
) -> ReserveResult:
    """The result of a reservation that was granted; without one, of calls that are not allowed."""
    return ReserveResult(
        granted=reservation is not None,
        reservation=reservation,
        expires_at=expires_at,
        retry_at=here.retry_at if reservation is None else None,
        remaining=here.remaining,
        level=here.level,
        stale=here.stale,
    )
