"""Counts, moments and waits as platforms write them; a value that makes no sense is `None`.

The forms meet in the wild under the same names: `X-RateLimit-Reset` is seconds since the epoch at GitHub, the
same with a fraction at Discord, milliseconds elsewhere, seconds from now with older drafts of the IETF, an
ISO 8601 time at Jira. Their sizes lie so far apart that a number tells by itself which one it is.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAXIMUM_COUNT = 2**53 - 1
# The longest window. Quotas last a month at most: a later end is a mistake, and would stop all calls.
MAXIMUM_WAIT_MS = 32 * 86_400_000
# How long ago a reset may be. One that has just passed comes of a clock that differs; an older one is a
# mistake.
MAXIMUM_PAST_MS = 86_400_000

# A Date that differs by less is the same moment: cut off to whole seconds, and some time on its way.
EARLY_MS = 1_000
LATE_MS = 2_000
# One that differs by more is that of a cache, or of an answer that was kept for long.
MAXIMUM_AHEAD_MS = 600_000

# From the first number on, which was in 2001, a number is seconds of the epoch; from the second on, which
# would be in 5138, milliseconds. Below both it is seconds from now.
_EPOCH_SECONDS_FROM = 1_000_000_000
_EPOCH_MILLISECONDS_FROM = 100_000_000_000

_COUNT = re.compile(r"[0-9]{1,16}")
# Older drafts put the policies behind the limit: `10, 10;w=1, 50;w=60`.
_LIMIT = re.compile(r"([0-9]{1,16})(?:\s*,\s*[0-9]+\s*;.*)?")
_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


def count_in(text: str | None) -> int | None:
    """A number of calls."""
    found = None if text is None else _COUNT.fullmatch(text)
    return None if found is None or int(found[0]) > MAXIMUM_COUNT else int(found[0])


def limit_in(text: str | None) -> int | None:
    """A number of calls, which a list of policies may follow."""
    found = None if text is None else _LIMIT.fullmatch(text)
    return None if found is None else count_in(found[1])


def ahead_in(date: str | None, at: int) -> int:
    """How far our clock is ahead of that of whoever sent a Date header with what came at `at`.

    A date is in whole seconds and is some time on its way, so that a small difference says nothing, and a
    larger one is rather too large: what follows from it comes late rather than early.
    """
    moment = None if date is None else _http_date(date)
    if moment is None or -EARLY_MS <= at - moment < LATE_MS or abs(at - moment) > MAXIMUM_AHEAD_MS:
        return 0
    return at - moment


def wait_end_in(text: str | None, at: int, ahead_ms: int = 0) -> int | None:
    """When a wait ends that begins at `at`: seconds, also with a fraction, or a date (RFC 9110, 10.2.3).

    Of a clock that ours is ahead of by so much.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return _within_reach(at + _milliseconds(text), at)
    moment = _http_date(text)
    # A date in the past asks for no wait.
    return None if moment is None else _within_reach(max(at, moment + ahead_ms), at)


def reset_in(text: str | None, at: int, ahead_ms: int = 0) -> int | None:
    """When a window ends, of which `at` is within: any of the forms that there are.

    Of a clock that ours is ahead of by so much.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MILLISECONDS_FROM:
            return _within_reach(round(number) + ahead_ms, at)
        if number >= _EPOCH_SECONDS_FROM:
            return _within_reach(_milliseconds(text) + ahead_ms, at)
        return _within_reach(at + _milliseconds(text), at)
    moment = _iso_8601(text)
    if moment is None:
        moment = _http_date(text)
    return None if moment is None else _within_reach(moment + ahead_ms, at)


def _milliseconds(seconds: str) -> int:
    return round(float(seconds) * 1000)


def _within_reach(moment: int, at: int) -> int | None:
    return moment if max(0, at - MAXIMUM_PAST_MS) <= moment <= at + MAXIMUM_WAIT_MS else None


def _iso_8601(text: str) -> int | None:
    try:
        return _since_epoch(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> int | None:
    try:
        return _since_epoch(parsedate_to_datetime(text))
    except (ValueError, OverflowError, TypeError, IndexError):
        # For what is no date, it raises one error or another.
        return None


def _since_epoch(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
