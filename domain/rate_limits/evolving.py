"""The state of a limit after its events: `evolve`."""

from collections.abc import Set

import msgspec

from domain.messages import Recorded
from domain.rate_limits import messages
from domain.rate_limits.ledger import (
    after_claims,
    after_end,
    begun,
    is_over,
    is_tracked,
    left_after,
    with_fewer,
)
from domain.rate_limits.reading import Reading
from domain.rate_limits.state import (
    Budget,
    RateLimit,
    Reservation,
    Sample,
    Window,
    level_of,
)
from domain.rate_limits.structured_fields import MAXIMUM_POLICIES

# How many observations of a window are kept: the burn rate is computed from them.
MAXIMUM_SAMPLES = 12
# A policy that no observation mentions for so long is dropped.
FORGOTTEN_AFTER_MS = 86_400_000


def evolve(state: RateLimit | None, recorded: Recorded) -> RateLimit | None:
    """The state of the limit after an event."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, messages.Cleared):
        return None
    if isinstance(event, messages.Imported):
        return _levelled(_imported(event, recorded))
    known = msgspec.structs.replace(
        state or RateLimit(key=recorded.key, created_at=at, updated_at=at), updated_at=at
    )
    match event:
        case messages.Observed():
            return _levelled(_observed(known, event, at))
        case messages.Throttled():
            return msgspec.structs.replace(
                known,
                throttled_until=event.until,
                throttle_reason=event.reason,
                throttled_widely=event.wide,
                refusals=event.refusals,
                refused_at=event.refused_at,
            )
        case messages.ThresholdsSet():
            return _levelled(
                msgspec.structs.replace(
                    known, warning_percent=event.warning_percent, critical_percent=event.critical_percent
                )
            )
        case messages.Reserved():
            return _reserved(known, event, at)
        case messages.Released():
            return _levelled(_released(known, event, at))
        case messages.CallsClaimed():
            return after_claims(known, event, at)
        case messages.CallsEnded():
            return after_end(known, event, at)
        case messages.LevelChanged():
            # The level follows from the event before; this one is there for subscribers.
            return known
        case _:
            raise TypeError(f"not an event of a rate limit: {type(event).__name__}")


def _imported(event: messages.Imported, recorded: Recorded) -> RateLimit:
    # Not after the present: a wrong clock in the system before would make today's observations outdated.
    observed_at = min(event.last_updated, recorded.recorded_at)
    reading = Reading(remaining=event.remaining, limit=event.limit, reset_time=event.reset_time)
    return RateLimit(
        key=recorded.key,
        created_at=event.created_at,
        updated_at=event.last_updated,
        budgets=(_budget(None, reading, observed_at),),
    )


def _levelled(known: RateLimit) -> RateLimit:
    level = level_of(known.budgets, known.warning_percent, known.critical_percent)
    return msgspec.structs.replace(known, level=level)


def _observed(known: RateLimit, event: messages.Observed, at: int) -> RateLimit:
    readings = (_first_reading(event), *event.others)
    # The calls of a reservation that this confirms were made; their number is in the reservation alone.
    confirmed = next((one.cost for one in known.reservations if one.id == event.reservation), 0)
    budgets = _untold(known, event, {reading.policy for reading in readings}, confirmed)
    before = {budget.policy: budget for budget in known.budgets}
    for reading in readings:
        budget = before.get(reading.policy)
        told = _budget(budget, reading, event.observed_at)
        if is_tracked(known):
            reckoned = None if budget is None else with_fewer(budget, confirmed)
            told = msgspec.structs.replace(told, left=left_after(known, reckoned, told, at))
        budgets += (told,)
    # The policies that were observed last stay, ordered by name, in whatever order they were observed.
    youngest = sorted(budgets, key=lambda one: (-one.observed_at, one.policy))[:MAXIMUM_POLICIES]
    has_answered = known.throttled_until is None or event.observed_at >= known.throttled_until
    return msgspec.structs.replace(
        known,
        budgets=tuple(sorted(youngest, key=lambda one: one.policy)),
        refusals=0 if has_answered else known.refusals,
        reservations=tuple(one for one in known.reservations if one.id != event.reservation),
    )


def _untold(known: RateLimit, event: messages.Observed, told: Set[str], confirmed: int) -> tuple[Budget, ...]:
    """The policies that an observation does not mention, less the calls that it confirms."""
    return tuple(
        _spent(known, budget, confirmed, event.observed_at)
        for budget in known.budgets
        if budget.policy not in told and event.observed_at - budget.observed_at < FORGOTTEN_AFTER_MS
    )


def _first_reading(event: messages.Observed) -> Reading:
    # Field by field, here and below, which is fastest: a replay calls this for every observation.
    return Reading(
        policy=event.policy,
        remaining=event.remaining,
        limit=event.limit,
        used=event.used,
        reset_time=event.reset_time,
        window_ms=event.window_ms,
        near_limit=event.near_limit,
    )


def _budget(known: Budget | None, reading: Reading, at: int) -> Budget:
    return Budget(
        policy=reading.policy,
        remaining=reading.remaining,
        limit=reading.limit,
        used=reading.used,
        reset_time=reading.reset_time,
        window_ms=reading.window_ms,
        near_limit=reading.near_limit,
        observed_at=at,
        samples=_samples(known, reading, at),
        before=_window_before(known, reading),
    )


def _samples(known: Budget | None, reading: Reading, at: int) -> tuple[Sample, ...]:
    if reading.remaining is None:
        return ()
    sample = Sample(at=at, remaining=reading.remaining)
    goes_on = (
        known is not None
        and known.limit == reading.limit
        # If more calls remain than before, a window has begun, or calls were given back.
        and (known.remaining is None or reading.remaining <= known.remaining)
        and (known.reset_time is None or at < known.reset_time)
    )
    if known is None or not goes_on:
        return (sample,)
    return (*known.samples, sample)[-MAXIMUM_SAMPLES:]


def _window_before(known: Budget | None, reading: Reading) -> Window | None:
    if known is None or (known.limit, known.reset_time) == (reading.limit, reading.reset_time):
        return None if known is None else known.before
    return msgspec.convert(known, Window, from_attributes=True)


def _reserved(known: RateLimit, event: messages.Reserved, at: int) -> RateLimit:
    # Expired reservations are dropped here, since there is no event when they expire.
    others = tuple(one for one in known.reservations if one.expires_at > at and one.id != event.reservation)
    reservation = Reservation(id=event.reservation, cost=event.cost, expires_at=event.expires_at)
    return msgspec.structs.replace(known, reservations=(*others, reservation), is_shared=True)


def _released(known: RateLimit, event: messages.Released, at: int) -> RateLimit:
    return msgspec.structs.replace(
        known,
        budgets=tuple(_spent(known, budget, event.used, at) for budget in known.budgets),
        reservations=tuple(one for one in known.reservations if one.id != event.reservation),
    )


def _is_over(known: RateLimit, budget: Budget, at: int) -> bool:
    # Where `left` is reckoned, with the margin that the ledger has for clocks that differ.
    return is_over(budget, at) if is_tracked(known) else is_over(budget, at, margin_ms=0)


def _spent(known: RateLimit, budget: Budget, calls: int, at: int) -> Budget:
    if calls == 0:
        return budget
    if _is_over(known, budget, at):
        if budget.limit is None:
            return budget
        budget = begun(known, budget, at)
    if budget.remaining is None:
        return budget
    return msgspec.structs.replace(
        budget,
        remaining=max(0, budget.remaining - calls),
        left=None if budget.left is None else budget.left - calls,
        used=None if budget.used is None else budget.used + calls,
    )
