"""The source of a report's figures: a lake, in one period."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ops.analytics.asking.query import explained
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.session import Connection
from ops.analytics.lake.times import zone_of
from ops.analytics.report import units
from ops.analytics.report.period import Period, read_moment

# The ids of imported attempts are negative.
_RETRIES = """
    CREATE TEMP VIEW period_retries AS SELECT bucket, type FROM period_events WHERE table_name = 'jobs'
    UNION ALL
    SELECT a.bucket, CASE
        WHEN a.attempt < tried.attempts OR jobs_ever.status NOT IN ('failed', 'timeout')
        THEN CASE a.status WHEN 'failed' THEN 'job.attempt_failed.v1' ELSE 'job.attempt_timed_out.v1' END
        ELSE CASE a.status WHEN 'failed' THEN 'job.failed.v1' ELSE 'job.timed_out.v1' END
    END
    FROM ended_attempts AS a
    JOIN (SELECT job_id, max(attempt) AS attempts FROM known_attempts GROUP BY job_id) AS tried USING (job_id)
    JOIN jobs_ever ON jobs_ever.id = a.job_id
    WHERE a.id < 0 AND a.status IN ('failed', 'timeout')
"""


class ShownSnapshot(msgspec.Struct, frozen=True):
    """The backup that a report shows; `made_at` is in milliseconds since the epoch."""

    name: str
    made_at: int
    timeline: int
    position: int


class Source:
    """The views of a lake, and views of a period in it.

    `period_events` are the events of the period, `period_attempts` the attempts that began in it,
    `ended_attempts` those that ended in it, and `period_retries` the types of its events about jobs. The
    column `bucket` is the beginning of the stretch of time that a row is in. A job is late if it is not done
    `within_ms` since it was due.

    Imported jobs have no events of their attempts, only that of the import. They are counted in the period in
    which they happened: `period_retries` has rows for their failed attempts, too.
    """

    def __init__(self, connection: Connection, period: Period, within_ms: int) -> None:
        self.period = period
        self.within_ms = within_ms
        self._connection = connection
        since, until = period.since, period.until
        self.execute("CREATE TEMP TABLE known_attempts AS FROM attempts")
        for view, source, column in (
            ("period_events", "events", "recorded_at"),
            ("period_attempts", "known_attempts", "started_at"),
            ("ended_attempts", "known_attempts", "completed_at"),
        ):
            self.execute(
                f"CREATE TEMP VIEW {view} AS SELECT *, {period.begin_of(column)} AS bucket FROM {source}"
                f" WHERE {column} >= {since} AND {column} < {until}"
            )
        self.execute(_RETRIES)

    def execute(self, statement: str) -> None:
        with explained():
            self._connection.execute(statement)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with explained():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str) -> tuple[Any, ...]:
        """The first row of a query that has at least one."""
        return self.rows(query)[0]

    def records(self, query: str) -> list[Mapping[str, Any]]:
        """The rows of a query, by the names of their columns."""
        with explained():
            result = self._connection.execute(query)
            names = [name for name, *_ in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def snapshot(self) -> ShownSnapshot | None:
        """The backup that is shown; `None` if the lake has none."""
        found = self.rows("SELECT name, timestamp, timeline, position FROM snapshots WHERE is_shown")
        return ShownSnapshot(*found[0]) if found else None


def find_period(
    connection: Connection, since: str | None, until: str | None, time_zone: str = "UTC"
) -> Period:
    """The period from `since` to `until`; without them, all that the lake shows, to the minute.

    Raises:
        AnalyticsError: there is no event, a moment cannot be read or is after the end of the lake, `since` is
            not before `until`, or DuckDB and Python have other rules for the zone.
    """
    zone = zone_of(time_zone)
    [(first, last)] = connection.execute("SELECT min(recorded_at), max(recorded_at) FROM events").fetchall()
    # Imported jobs are from before the log began.
    [(began,)] = connection.execute("SELECT min(least(created_at, started_at)) FROM jobs_versions").fetchall()
    first = min((moment for moment in (first, began) if moment is not None), default=None)
    [(made,)] = connection.execute("SELECT max(timestamp) FROM snapshots WHERE is_shown").fetchall()
    if first is None and (since is None or until is None):
        raise AnalyticsError(
            "not_found", "the lake has no events", "say what period is meant: --since, --until"
        )
    known = (max(last or 0, made or 0) // units.MINUTE + 1) * units.MINUTE
    end = known if until is None else read_moment(until, zone=zone)
    if end > known:
        raise AnalyticsError(
            "not_a_moment",
            f"the lake does not know of {until} yet: it ends at {units.minute(known, zone)} {time_zone}",
            "leave --until out, or add what came since with `hyperpage analytics export`",
        )
    begin = (
        read_moment(since, end=end, zone=zone)
        if since is not None
        else (first or 0) // units.MINUTE * units.MINUTE
    )
    if begin >= end:
        raise AnalyticsError(
            "empty_period",
            f"nothing is between {units.moment(begin, zone)} and {units.moment(end, zone)} {time_zone}",
            "--since has to be before --until, and before the last event",
        )
    period = Period(begin, end, time_zone)
    _require_same_times(connection, period)
    return period


def _require_same_times(connection: Connection, period: Period) -> None:
    """Returns if DuckDB and Python have the same local times of the zone in the whole period.

    Each has its own rules of all zones, and may have outdated ones. If they differed, the stretches of time
    in charts would begin at other times than those of the queries, and figures would be missing.

    Raises:
        AnalyticsError: they differ.
    """
    moments = [*range(period.since, period.until, max(1, period.bucket_ms // 4)), period.until - 1]
    found = connection.execute(
        f"SELECT moment, epoch_ms(CAST(time_of(moment) AS TIMESTAMP)), {period.begin_of('moment')}"
        " FROM (SELECT unnest($moments) AS moment)",
        {"moments": moments},
    ).fetchall()
    begins = sorted({begin for _, _, begin in found})
    if begins != list(period.begins()) or any(
        clock != units.clock_of(moment, period.zone) for moment, clock, _ in found
    ):
        raise AnalyticsError(
            "unknown_time_zone",
            f"DuckDB and this system have other rules for the times of {period.time_zone} in this period",
            "update the older one (duckdb, or the tzdata of the system); or leave --time-zone out, for UTC",
        )
