"""How times are shown, grouped and read in a lake: in UTC without a zone, or in a zone."""

from zoneinfo import ZoneInfo

from ops.analytics.lake.columns import literal
from ops.analytics.lake.errors import AnalyticsError

_IN_UTC = """
MACRO time_of(ms) AS make_timestamp(ms * 1000);
MACRO bucket_of(bucket, ms) AS time_bucket(CAST(bucket AS INTERVAL), make_timestamp(ms * 1000));
MACRO without_zone(text) AS TRY_CAST(text AS TIMESTAMP)"""
# Buckets of more than an hour begin at local times of the zone, so a day may have 23 or 25 hours; shorter
# ones all have the same length. Where the clocks show a time twice, it means the earlier one, though DuckDB
# takes the later.
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
    """The statement that sets the zone of a session's times; it comes before all others.

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
    """The error for a time zone that does not exist."""
    return AnalyticsError(
        "unknown_time_zone", f"{name!r} is no time zone", "write it as Europe/Berlin, or UTC"
    )


def macros(time_zone: str | None) -> list[str]:
    """The macros with which all views and queries show, group and read times."""
    text = _IN_UTC if time_zone is None else _IN_ZONE.format(zone=literal(time_zone))
    return [f"CREATE OR REPLACE {one.strip()}" for one in text.split(";\n")]
