"""The period that a report is about, and the stretches of time that it is shown in."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.report import units

# The most columns that can be told apart on a page.
MOST_BUCKETS = 60
_AGE = re.compile(r"(\d{1,6})(min|h|d|w)")
_UNITS_MS = {"min": units.MINUTE, "h": units.HOUR, "d": units.DAY, "w": 7 * units.DAY}


class Period(msgspec.Struct, frozen=True):
    """The time from `since` until before `until`, in milliseconds since the epoch.

    It is shown in stretches of `bucket_ms`, of which the first and the last may be cut off, and in the time
    zone `time_zone`.
    """

    since: int
    until: int
    time_zone: str = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def moment(self, milliseconds: float) -> str:
        """A time in the zone, to the second."""
        return units.moment(milliseconds, self.zone)

    def minute(self, milliseconds: float) -> str:
        """A time in the zone, to the minute."""
        return units.minute(milliseconds, self.zone)

    @property
    def bucket_ms(self) -> int:
        return units.bucket_of(self.until - self.since, MOST_BUCKETS)

    @property
    def bucket(self) -> str:
        """The length of a stretch, in words."""
        return units.stretch(self.bucket_ms)

    @property
    def interval(self) -> str:
        """The length of a stretch, in SQL."""
        days, rest = divmod(self.bucket_ms, units.DAY)
        return f"INTERVAL {self.bucket_ms} MILLISECOND" if rest else f"INTERVAL {days} DAY"

    def begins(self) -> Iterator[int]:
        """The beginning of each stretch; the first one may begin before the period."""
        return units.begins(self.since, self.until, self.bucket_ms, self.zone)

    def spans(self) -> dict[int, tuple[int, int]]:
        """The part of each stretch that is in the period, by the beginning of the stretch."""
        begins = list(self.begins())
        return dict(zip(begins, pairwise([self.since, *begins[1:], self.until]), strict=True))

    def begin_of(self, column: str) -> str:
        """The beginning of the stretch that a column's milliseconds are in, in SQL."""
        return f"epoch_ms(bucket_of({self.interval}, {column}))"


def read_age(text: str) -> int:
    """The milliseconds of a length of time such as `15min`, `1h`, `7d` or `4w`.

    Raises:
        AnalyticsError: the text is no length of time.
    """
    age = _AGE.fullmatch(text.strip())
    if age is None:
        raise AnalyticsError("not_a_moment", f"{text!r} is no length of time", "write it as 15min, 1h, 7d")
    return int(age[1]) * _UNITS_MS[age[2]]


def read_moment(text: str, *, end: int | None = None, zone: tzinfo = UTC) -> int:
    """The milliseconds since the epoch of a time in ISO 8601, or of an age such as `7d`.

    A time without a zone is in `zone`. An age (min, h, d or w) counts back from `end`, and needs it.

    Raises:
        AnalyticsError: the text is neither.
    """
    if end is not None and _AGE.fullmatch(text.strip()):
        return end - read_age(text)
    try:
        moment = datetime.fromisoformat(text.strip())
        found = round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        hint = "write it as 2026-11-24T08:15:00Z" + (", or as 24h, 7d, 4w" if end is not None else "")
        raise AnalyticsError("not_a_moment", f"{text!r} is no moment", hint)
    return found
