"""Events of a limit, together with the change of level that they lead to."""

from collections.abc import Iterable

import msgspec

from domain.messages import Event, Recorded
from domain.rate_limits.evolving import evolve
from domain.rate_limits.messages import LevelChanged
from domain.rate_limits.state import RateLimit, RateLimitLevel


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Events, as a decision has them, and the state after them."""

    events: tuple[tuple[str, Event], ...]
    state: RateLimit | None


def changes(state: RateLimit | None, events: Iterable[Event | None], now: int, key: str) -> Changes:
    """The events, without any `None`, and after them a change of the level, if they lead to one."""
    after = state
    found: list[Event] = []
    for event in events:
        if event is not None:
            found.append(event)
            after = evolve(after, Recorded(0, key, 0, now, event))
    before: RateLimitLevel = "unknown" if state is None else state.level
    if after is not None and after.level != before and not _is_first(state, after):
        found.append(LevelChanged(level=after.level, previous=before))
    return Changes(events=tuple((key, event) for event in found), state=after)


def _is_first(state: RateLimit | None, after: RateLimit) -> bool:
    # The first observation of a limit is no change of its level, if that is normal.
    return after.level == "normal" and (state is None or state.observed_at is None)
