"""The times of a cron expression in a time zone.

They are no part of the domain, since the rules of time zones belong to the machine.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from domain.errors import Invalid

# How many times of the library are tried. When clocks go back, its first times may lie up to an hour in the
# past; they are never more than a day has minutes.
_CANDIDATES = 24 * 60


# The names in crontab(5) that stand for five fields. `@reboot` is left out: it names no time.
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
    """The first time after `at`, in milliseconds, or the last one up to it if `before`; `None` without one.

    If clocks go forward past the time of a run, it runs at once; if they go back past it, it runs once.
    Schedules that run every hour or more often just go on. This is how Debian's cron works, see cron(8).

    Raises:
        Invalid: the expression does not have five valid fields, or there is no such time zone.
    """
    fields = NAMED.get(expression, expression)
    if len(fields.split()) != 5:
        raise Invalid(
            "a cron expression has five fields",
            hint=f"minute hour day month weekday, or one of {', '.join(NAMED)}",
            path="$.cron",
        )
    # Whole seconds are enough: a cron time has no fraction of one.
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
        Invalid: there is no such time zone.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise Invalid(
            f"there is no time zone {name[:100]}", hint="such as Europe/Berlin", path="$.time_zone"
        ) from None
