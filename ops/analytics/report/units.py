"""Figures as people read them, and ticks of an axis that are round in their unit."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import pairwise

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
# Round stretches of time, from a second to four weeks.
STRETCHES_MS = (
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14, 28)),
)
_UNITS = (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND))
# Weeks begin on Mondays. Longer stretches are counted, as by DuckDB, from the Monday of 3 January 2000.
_FIRST_MONDAY_MS = 10_959 * DAY

Format = Callable[[float], str]


def count(value: float) -> str:
    """A number with separators of thousands."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"


def counted(number: int, noun: str) -> str:
    """A number with a noun in singular or plural."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def percent(share: float) -> str:
    """A share of 1 in percent."""
    value = 100 * share
    return f"{value:.0f} %" if float(value).is_integer() else f"{value:.1f} %"


def duration(milliseconds: float) -> str:
    """Milliseconds in the unit that is easiest to read; from a minute on, in two units."""
    if milliseconds == 0:
        return "0"
    if milliseconds < SECOND:
        return f"{_significant(milliseconds)} ms"
    if milliseconds < MINUTE:
        return f"{_significant(milliseconds / SECOND)} s"
    for (unit, large), (smaller, small) in pairwise(_UNITS):
        # Rounded first: 59.9 s beside a minute would be 60 s.
        rounded = round(milliseconds / small) * small
        if rounded >= large:
            rest = round(rounded % large / small)
            return f"{rounded // large:.0f} {unit}" + (f" {rest} {smaller}" if rest else "")
    return "1 min"


def stretch(milliseconds: int) -> str:
    """A stretch of time as a noun: `hour`, `15 min`."""
    words = {SECOND: "second", MINUTE: "minute", HOUR: "hour", DAY: "day", 7 * DAY: "week"}
    return words.get(milliseconds) or duration(milliseconds)


def size(size_bytes: float) -> str:
    """Bytes, in units of 1,000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{_significant(size_bytes / factor)} {unit}"
    return f"{size_bytes:.0f} B"


def moment(milliseconds: float, zone: tzinfo = UTC) -> str:
    """A time in a zone, to the second."""
    return _at(milliseconds, zone).strftime("%Y-%m-%d %H:%M:%S")


def minute(milliseconds: float, zone: tzinfo = UTC) -> str:
    """A time in a zone, to the minute."""
    return _at(milliseconds, zone).strftime("%Y-%m-%d %H:%M")


def iso(milliseconds: int) -> str:
    """A time in UTC, in ISO 8601 with milliseconds."""
    return _at(milliseconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_of(milliseconds: int, zone: tzinfo) -> int:
    """The local time of a zone, as milliseconds since the beginning of 1970 in local time."""
    offset = _at(milliseconds, zone).utcoffset()
    return milliseconds + (0 if offset is None else round(offset.total_seconds() * 1000))


def bucket_of(span_ms: int, most: int) -> int:
    """The shortest round stretch of time that divides a span into at most `most` stretches."""
    longest = STRETCHES_MS[-1]
    longer = math.ceil(span_ms / most / longest) * longest
    return next((one for one in STRETCHES_MS if span_ms <= one * most), longer)


def begins(since: int, until: int, stretch_ms: int, zone: tzinfo = UTC) -> Iterator[int]:
    """The beginning of each stretch of time in a period; the first one may begin before the period.

    Stretches of more than an hour begin at local times of the zone, so one is longer or shorter where the
    clocks change; shorter stretches all have the same length.
    """
    clock = clock_of(since, zone)
    shown = (clock - _FIRST_MONDAY_MS) // stretch_ms * stretch_ms + _FIRST_MONDAY_MS
    at = since - (clock - shown) if stretch_ms <= HOUR else _moment_of(shown, zone)
    while at < until:
        yield at
        shown += stretch_ms
        at = at + stretch_ms if stretch_ms <= HOUR else _moment_of(shown, zone)


def time_ticks(since: int, until: int, most: int = 9, zone: tzinfo = UTC) -> list[tuple[int, str, str]]:
    """Round moments of a period, each with its time of day and, on a new day, its date."""
    step = bucket_of(until - since, most)
    ticks, shown = [], ""
    for at in begins(since, until, step, zone):
        if at >= since:
            here = _at(at, zone)
            time, date = (
                here.strftime("%H:%M:%S" if step < MINUTE else "%H:%M"),
                f"{here:%a} {here.day} {here:%b}",
            )
            ticks.append((at, time if step < DAY else "", date if date != shown else ""))
            shown = date
    return ticks


def round_ticks(highest: float, most: int = 5) -> list[float]:
    """The ticks of an axis from 0 to the first round number that is not below the highest value."""
    return _up_to(highest, _round_step(highest / most))


def whole_ticks(highest: float) -> list[float]:
    """Such ticks in whole numbers, for counts."""
    return _up_to(highest, max(1.0, _round_step(highest / 5)))


def duration_ticks(longest: float, most: int = 5) -> list[float]:
    """Such ticks for milliseconds, round in the unit that they are shown in."""
    if longest < 5 * SECOND:
        return round_ticks(longest, most)
    return _up_to(longest, float(bucket_of(math.ceil(longest), most)))


def logarithmic_ticks(lowest: float, highest: float) -> list[float]:
    """Ticks of round durations around all values, each several times the one before."""
    places = [1, 10, 100, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY]
    below = max((one for one in places if one <= lowest), default=1)
    while places[-1] < highest:
        places.append(10 * places[-1])
    above = min(one for one in places if one >= highest)
    return [float(one) for one in places if below <= one <= above]


def _up_to(highest: float, step: float) -> list[float]:
    return [step * place for place in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


def _round_step(least: float) -> float:
    if least <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


def _significant(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"


def _at(milliseconds: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, zone)


def _moment_of(clock: int, zone: tzinfo) -> int:
    """The first moment with this local time in a zone; a time that clocks skip is by the offset before it."""
    return round(_at(clock, UTC).replace(tzinfo=zone).timestamp() * 1000)
