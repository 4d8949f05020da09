"""Observations merged with the known state: what they leave out, and whether they are worth an event."""

import msgspec

from domain.rate_limits.reading import Reading
from domain.rate_limits.state import Budget

COALESCE_MS = 60_000
COALESCE_FRACTION = 0.05
# A reset in whole seconds from now differs by this much from one response to the next.
RESET_JITTER_MS = 1_000


def merged(known: Budget | None, said: Reading, at: int, *, jitter_ms: int = 0) -> Reading:
    """A reading with what it leaves out, as far as that is known of the same window.

    The limit stays the same in a new window; the remaining calls and the reset do not. A reset that differs
    from the known one by no more than `jitter_ms` is the same.
    """
    said = _counted(said)
    if known is None:
        return said
    limit, reset_time = said.limit, _settled(known, said.reset_time, at, jitter_ms)
    remaining, used = said.remaining, said.used
    if limit is None and (remaining is None or known.limit is None or remaining <= known.limit):
        limit = known.limit
    if _is_same_window(known, reset_time, at):
        if remaining is None and used is None:
            remaining, used = known.remaining, known.used
        reset_time = known.reset_time if reset_time is None else reset_time
    return _counted(
        Reading(
            policy=said.policy,
            remaining=remaining,
            limit=limit,
            used=used,
            reset_time=reset_time,
            window_ms=known.window_ms if said.window_ms is None else said.window_ms,
            near_limit=said.near_limit,
        )
    )


def is_news(known: Budget | None, said: Reading, at: int) -> bool:
    """Whether a reading shows another window or a change of 5 % of the limit, or is a minute younger.

    Where two sources take turns (two instances that share a key, say), each is compared with its own last
    reading: with the window that was kept before the present one.
    """
    if known is None:
        return True
    if known.before is not None and is_turn(known, said):
        return _differs(known.before.remaining, known.before.observed_at, said, at)
    if said.limit != known.limit or not _is_same_window(known, said.reset_time, at):
        return True
    if known.reset_time is None and said.reset_time is not None:
        return True
    return _differs(known.remaining, known.observed_at, said, at)


def is_turn(known: Budget | None, said: Reading) -> bool:
    """Whether a reading is of the window that was kept before the present one, and so of another source."""
    if known is None or known.before is None:
        return False
    return (said.limit, said.reset_time) == (known.before.limit, known.before.reset_time)


def _differs(remaining: int | None, observed_at: int, said: Reading, at: int) -> bool:
    if at - observed_at >= COALESCE_MS:
        return True
    if said.remaining is None or remaining is None:
        return said.remaining != remaining
    if said.remaining != remaining and 0 in (said.remaining, remaining):
        # Callers need to know when the last call is gone, and when there are calls again.
        return True
    change = abs(said.remaining - remaining)
    return change > 0 and (said.limit is None or change >= COALESCE_FRACTION * said.limit)


def _counted(said: Reading) -> Reading:
    # Two of the three numbers give the third.
    remaining, limit, used = said.remaining, said.limit, said.used
    if remaining is None and limit is not None and used is not None:
        remaining = max(0, limit - used)
    elif used is None and limit is not None and remaining is not None:
        used = max(0, limit - remaining)
    elif limit is None and remaining is not None and used is not None:
        limit = remaining + used
    return msgspec.structs.replace(said, remaining=remaining, limit=limit, used=used)


def _settled(known: Budget, reset_time: int | None, at: int, jitter_ms: int) -> int | None:
    """The known reset if the new one differs from it by rounding alone, or else the new one."""
    resets = (known.reset_time, None if known.before is None else known.before.reset_time)
    for one in resets:
        if one is not None and reset_time is not None and at < one and abs(one - reset_time) <= jitter_ms:
            return one
    return reset_time


def _is_same_window(known: Budget, reset_time: int | None, at: int) -> bool:
    if known.reset_time is None:
        return reset_time is None or at < reset_time
    if at >= known.reset_time:
        return False
    # The end of a sliding window moves on with the time; that of a fixed one jumps.
    return reset_time is None or abs(reset_time - known.reset_time) <= at - known.observed_at
