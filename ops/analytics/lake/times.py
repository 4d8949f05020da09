"""How times are shown, grouped and read in a lake: in UTC without a zone, or in a zone."""

from zoneinfo import ZoneInfo

from ops.analytics.lake.columns import literal
from ops.analytics.lake.errors import AnalyticsError

_IN_UTC = """
MACRO time_of(ms) AS make_timestamp(ms * 1000);
MACRO bucket_of(bucket, ms) AS time_bucket(CAST(bucket AS INTERVAL), make_timestamp(ms * 1000));
MACRO without_zone(text) AS TRY_CAST(text AS TIMESTAMP)"""
# Stretches of more than an hour begin at times of the zone's clocks, so a day may have 23 hours or 25; the
# shorter ones are all as long as they say. Of two times that the clocks show alike, the earlier one is meant,
# where DuckDB takes the later.
_IN_ZONE = """
MACRO time_of(ms) AS make_timestamptz(ms * 1000);
MACRO begin_at(local) AS CASE
  WHEN timezone({zone}, timezone({zone}, local) - INTERVAL 1 HOUR) = local
    THEN timezone({zone}, local) - INTERVAL 1 HOUR
  ELSE timezone({zone}, local)
END;
MACRO bucket_of(bucket, ms) AS CASE
  WHEN CAST(bucket AS INTERVAL) > INTERVAL 1 HOUR
    THEN begin_at(time_bucket(CAST(bucket AS INTERVAL), timezone({zone}, make_timestamptz(ms * 1000))))
  ELSE time_bucket(CAST(bucket AS INTERVAL), make_timestamptz(ms * 1000), {zone})
END;
MACRO without_zone(text) AS timezone({zone}, TRY_CAST(text AS TIMESTAMP))"""


def setting_of(time_zone: str | None) -> str:
    """The statement that comes before all others: in which zone a session shows times that have one.

    Raises:
        AnalyticsError: there is no such zone.
    """
    return f"SET TimeZone = {literal('UTC' if time_zone is None else zone_of(time_zone).key)}"


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name.

    Raises:
        AnalyticsError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise unknown_time_zone(name) from error


def unknown_time_zone(name: str | None) -> AnalyticsError:
    """The error for a time zone that there is not."""
    return AnalyticsError(
        "unknown_time_zone", f"{name!r} is no time zone", "write it as Europe/Berlin, or UTC"
    )


def macros(time_zone: str | None) -> list[str]:
    """The macros that all else shows, groups and reads times with."""
    text = _IN_UTC if time_zone is None else _IN_ZONE.format(zone=literal(time_zone))
    return [f"CREATE OR REPLACE {one.strip()}" for one in text.split(";\n")]
