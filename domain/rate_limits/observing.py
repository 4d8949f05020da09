"""The decisions about observations and responses."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from domain.decider import Context, Decision
from domain.errors import Invalid
from domain.messages import Recorded, about
from domain.rate_limits.availability import Remaining, Stale, availability
from domain.rate_limits.changes import changes
from domain.rate_limits.evolving import evolve
from domain.rate_limits.headers import read_response
from domain.rate_limits.ledger import is_over, is_tracked
from domain.rate_limits.merging import RESET_JITTER_MS, is_news, is_turn, merged
from domain.rate_limits.messages import Observe, Observed, ObserveResponse, Released, parts_of
from domain.rate_limits.reading import Reading
from domain.rate_limits.refusals import refused
from domain.rate_limits.state import Budget, RateLimit, RateLimitLevel

# How far in the future an observation may be: a later one comes from a wrong clock.
MAXIMUM_CLOCK_LEAD_MS = 300_000


class ObserveResponseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a response: whether another call is allowed, and the resource that it was counted for."""

    resource: Annotated[str | None, about("the resource that the response was counted for")]
    allowed: Annotated[bool, about("whether another call is allowed now")]
    retry_at: Annotated[
        int | None, about("when it will be allowed; null if it is, or if waiting does not help")
    ]
    remaining: Remaining
    level: Annotated[RateLimitLevel, about("`normal`, `warning`, `critical` or `unknown`")]
    stale: Stale


def observe(state: RateLimit | None, command: Observe, context: Context, key: str) -> Decision:
    """The event of an observation, if it has news."""
    at = _moment(command.observed_at, context)
    said = msgspec.convert(command, Reading, from_attributes=True)
    if said == Reading():
        raise Invalid("an observation says at least one of remaining, limit, used, reset_time", path="$")
    if not command.data_fresh:
        return Decision()
    observed = _observed(state, (said,), at, command.reservation, context.now, key, jitter_ms=0)
    return Decision(events=changes(state, (observed,), context.now, key).events)


def observe_response(
    state: RateLimit | None, command: ObserveResponse, context: Context, key: str
) -> Decision:
    """The events of a response: it may tell what remains, that the call was refused, or neither."""
    at = _moment(command.observed_at, context)
    response = read_response(command.platform, command.status, command.headers, at, command.rate_limited)
    reservation = command.reservation
    observed = _observed(
        state, response.readings, at, reservation, context.now, key, jitter_ms=RESET_JITTER_MS
    )
    spent = None if observed is not None else _spent(state, reservation)
    throttled = refused(state, response, at) if response.is_refusal else None
    changed = changes(state, (observed, spent, throttled), context.now, key)
    here = availability(changed.state, 1, context.now)
    seen = ObserveResponseResult(resource=parts_of(key)[1], **msgspec.structs.asdict(here))
    return Decision(events=changed.events, result=seen)


def _moment(observed_at: int | None, context: Context) -> int:
    if observed_at is not None and observed_at > context.now + MAXIMUM_CLOCK_LEAD_MS:
        raise Invalid(
            "observed_at lies in the future",
            hint="set the clock, or leave the field out",
            path="$.observed_at",
        )
    return context.now if observed_at is None else observed_at


def _observed(
    state: RateLimit | None,
    readings: Sequence[Reading],
    at: int,
    reservation: str | None,
    now: int,
    key: str,
    *,
    jitter_ms: int,
) -> Observed | None:
    known = {} if state is None else {budget.policy: budget for budget in state.budgets}
    cost = _held(state, reservation)
    confirms = cost is not None
    news, is_worth_it = [], False
    for said in readings:
        budget = known.get(said.policy)
        reading = merged(budget, said, at, jitter_ms=jitter_ms)
        if budget is not None and _is_past(budget, reading, at):
            if not confirms:
                continue
            # The reservation must end all the same, or its calls would be granted once more.
            at, reading = budget.observed_at, _known_or_fewer(budget, reading)
        elif cost is not None:
            reading = _confirmed(budget, said, reading, at, cost)
        is_new = confirms or is_news(budget, reading, at) or _is_fewer(state, budget, reading)
        if not is_new and is_turn(budget, reading):
            # The level of this source differs from that of the other source, but that is no news.
            continue
        is_worth_it = is_worth_it or is_new
        news.append(reading)
    if not news:
        return None
    event = _event(news, at, reservation if confirms else None)
    return event if is_worth_it or _changes_more(state, event, now, key) else None


def _event(readings: Sequence[Reading], at: int, reservation: str | None) -> Observed:
    first = min(readings, key=_tightness)
    others = tuple(one for one in readings if one is not first)
    return Observed(**msgspec.structs.asdict(first), observed_at=at, others=others, reservation=reservation)


def _tightness(reading: Reading) -> tuple[bool, int]:
    return reading.remaining is None, reading.remaining or 0


def _held(state: RateLimit | None, reservation: str | None) -> int | None:
    """How many calls a reservation is for; `None` if it is not out."""
    reservations = () if state is None else state.reservations
    return next((one.cost for one in reservations if one.id == reservation), None)


def _is_past(known: Budget, reading: Reading, at: int) -> bool:
    """Whether a reading is older than the known one, or of a window before it."""
    if at < known.observed_at:
        return True
    if known.reset_time is None or reading.reset_time is None:
        return False
    return reading.reset_time <= at and reading.reset_time < known.reset_time


def _known_or_fewer(known: Budget, reading: Reading) -> Reading:
    present = msgspec.convert(known, Reading, from_attributes=True)
    if reading.reset_time is None or reading.reset_time != known.reset_time:
        return present
    return min(present, reading, key=_tightness)


def _confirmed(known: Budget | None, said: Reading, reading: Reading, at: int, calls: int) -> Reading:
    """The reading of a response that confirms calls, less all calls that it may not have counted.

    Simultaneous calls are answered in any order, so the fewest calls seen in a window remain in it. And calls
    that were confirmed since then by a response that does not tell what remains, or by a release, may have
    been made after the ones of this response.
    """
    if reading.remaining is None:
        return reading
    if (said.remaining, said.used) == (None, None):
        return _with_fewer(reading, calls)
    if known is None or known.remaining is None or is_over(known, at, margin_ms=0):
        return reading
    # A window that was not observed yet began with all calls.
    last = known.samples[-1].remaining if known.samples else known.limit
    if last is None:
        return reading
    is_same_window = known.reset_time is not None and known.reset_time == reading.reset_time
    fewest = min(reading.remaining, last) if is_same_window else reading.remaining
    confirmed_since = max(0, last - known.remaining)
    return _with_fewer(reading, reading.remaining - fewest + confirmed_since)


def _with_fewer(reading: Reading, calls: int) -> Reading:
    """The reading less so many calls; fewer than none never remain."""
    assert reading.remaining is not None
    remaining = max(0, reading.remaining - calls)
    used = None if reading.used is None else reading.used + reading.remaining - remaining
    return msgspec.structs.replace(reading, remaining=remaining, used=used)


def _is_fewer(state: RateLimit | None, known: Budget | None, reading: Reading) -> bool:
    # Every use counts where workers share a budget by reservations: up to 5 % that are no news would be
    # granted twice.
    if state is None or not state.is_shared or known is None:
        return False
    return (
        known.remaining is not None and reading.remaining is not None and reading.remaining < known.remaining
    )


def _changes_more(state: RateLimit | None, event: Observed, now: int, key: str) -> bool:
    """Whether an event without news is kept: for a new level, the end of refusals, or another `left`."""
    if state is None:
        return True
    after = evolve(state, Recorded(0, key, 0, now, event))
    if after is None or (after.level, after.refusals) != (state.level, state.refusals):
        return after is not None
    # Without the event, jobs would be handed out by a wrong `left`.
    return is_tracked(state) and [one.left for one in after.budgets] != [one.left for one in state.budgets]


def _spent(state: RateLimit | None, reservation: str | None) -> Released | None:
    """The end of a reservation whose calls were made, where the response does not tell what remains."""
    cost = _held(state, reservation)
    return None if cost is None or reservation is None else Released(reservation=reservation, used=cost)
