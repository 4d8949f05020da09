"""The period that a report is about."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.report import units

# Columns that can be told apart on a page.
MOST_BUCKETS = 60
_AGE = re.compile(r"(\d{1,6})(min|h|d|w)")
_UNITS_MS = {"min": units.MINUTE, "h": units.HOUR, "d": units.DAY, "w": 7 * units.DAY}


class Period(msgspec.Struct, frozen=True):
    """The time from one moment to another, which is no longer in it: milliseconds since the epoch.

    It is shown in stretches of `bucket_ms`; the first and the last may be cut off.
    """

    since: int
    until: int

    @property
    def bucket_ms(self) -> int:
        return units.bucket_of(self.until - self.since, MOST_BUCKETS)

    @property
    def bucket(self) -> str:
        """How long the stretches are, in words."""
        return units.stretch(self.bucket_ms)

    def begins(self) -> Iterator[int]:
        """When each stretch begins; the first one may begin before the period."""
        begin = units.begin_of(self.since, self.bucket_ms)
        while begin < self.until:
            yield begin
            begin += self.bucket_ms

    def middle(self, begin: int) -> float:
        """The middle of a stretch, as far as it is in the period."""
        return (max(begin, self.since) + min(begin + self.bucket_ms, self.until)) / 2

    def begin_of(self, column: str) -> str:
        """The beginning of the stretch that a column's milliseconds are in, in SQL."""
        first = units.begin_of(0, self.bucket_ms)
        return f"(({column} - {first}) // {self.bucket_ms} * {self.bucket_ms} + {first})"


def read_moment(text: str, *, end: int | None = None) -> int:
    """Milliseconds since the epoch for a time in ISO 8601 (UTC without a zone), or an age such as `7d`.

    An age (min, h, d or w) counts back from `end`.

    Raises:
        AnalyticsError: it is neither.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None and end is not None:
        return end - int(age[1]) * _UNITS_MS[age[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
        found = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        hint = "write it as 2026-11-24T08:15:00Z" + (", or as 24h, 7d, 4w" if end is not None else "")
        raise AnalyticsError("not_a_moment", f"{text!r} is no moment", hint)
    return found
