"""The times of a cron expression in a time zone. Here, since the rules of time zones are the machine's."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from domain.errors import Invalid

# How many times of the library are looked through. When clocks go back, the first may be an hour old, and
# there are never more of those than in a day.
_CANDIDATES = 24 * 60


# The names that crontab(5) has for five fields; that of a start of the machine is none of a time.
NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def cron_time(expression: str, time_zone: str, at: int, *, before: bool = False) -> int | None:
    """The first time behind `at`, or the last one that is not, in milliseconds; `None` if there is none.

    If clocks go forward over the time of a run, it runs at once; if they go back over it, it runs once. Runs
    of every hour or more often just go on: as Debian's cron has it, see cron(8).

    Raises:
        Invalid: the expression has not five good fields, or nobody knows the time zone.
    """
    fields = NAMED.get(expression, expression)
    if len(fields.split()) != 5:
        raise Invalid(
            "a cron expression has five fields",
            hint=f"minute hour day month weekday, or one of {', '.join(NAMED)}",
            path="$.cron",
        )
    # Seconds are enough: a cron time has no part of one.
    moment = datetime.fromtimestamp(at // 1_000, UTC)
    start = (moment + timedelta(seconds=1) if before else moment).astimezone(zone_of(time_zone))
    try:
        times = CronSim(fields, start, reverse=before)
    except CronSimError as error:
        raise Invalid(f"not a cron expression: {error}", path="$.cron") from None
    for found in islice(times, _CANDIDATES):
        milliseconds = int(found.timestamp()) * 1_000
        if (milliseconds <= at) == before:
            return milliseconds
    return None


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name.

    Raises:
        Invalid: nobody knows it.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise Invalid(
            f"there is no time zone {name[:100]}", hint="such as Europe/Berlin", path="$.time_zone"
        ) from None
