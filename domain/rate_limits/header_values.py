"""Counts, moments and waits as platforms write them; a value that makes no sense is `None`.

Platforms use different forms under the same names: `X-RateLimit-Reset` is seconds since the epoch at GitHub,
the same with a fraction at Discord, milliseconds elsewhere, seconds from now with older drafts of the IETF,
an ISO 8601 time at Jira. The numbers are of so different sizes that each tells its form by itself.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAXIMUM_COUNT = 2**53 - 1
# The longest window. Quotas last a month at most: a later end is a mistake, and would stop all calls.
MAXIMUM_WAIT_MS = 32 * 86_400_000
# How long ago a reset may be. One that has just passed comes from a clock that differs; an older one is a
# mistake.
MAXIMUM_PAST_MS = 86_400_000

# A Date that differs from our clock by less counts as equal: it is cut to whole seconds, and takes time to
# arrive.
EARLY_MS = 1_000
LATE_MS = 2_000
# A Date that differs by more comes from a cache, or from an answer that was kept for long.
MAXIMUM_AHEAD_MS = 600_000

# A number from the first one on (the year 2001) is seconds since the epoch; from the second one on (the year
# 5138 in seconds), it is milliseconds since the epoch. A smaller number is seconds from now.
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
    """How far our clock is ahead of a sender's, by the Date header of a response that came at `at`.

    A Date is in whole seconds and takes time to arrive, so that a small difference means nothing. A larger
    one is rather too large: times that are corrected by it are late rather than early.
    """
    moment = None if date is None else _http_date(date)
    if moment is None or -EARLY_MS <= at - moment < LATE_MS or abs(at - moment) > MAXIMUM_AHEAD_MS:
        return 0
    return at - moment


def wait_end_in(text: str | None, at: int, ahead_ms: int = 0) -> int | None:
    """The end of a wait from `at` on, of seconds, also with a fraction, or a date (RFC 9110, 10.2.3).

    `ahead_ms` is how far our clock is ahead of the one that a date is by.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return _within_reach(at + _milliseconds(text), at)
    moment = _http_date(text)
    # A date in the past asks for no wait.
    return None if moment is None else _within_reach(max(at, moment + ahead_ms), at)


def reset_in(text: str | None, at: int, ahead_ms: int = 0) -> int | None:
    """The end of the window that `at` is in, of any of the forms above.

    `ahead_ms` is how far our clock is ahead of the one that dates and numbers since the epoch are by.
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
        # The parser raises different errors for texts that are no date.
        return None


def _since_epoch(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
