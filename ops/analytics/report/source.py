"""Where a report's figures come from: a lake, seen in one period."""

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
    """The backup that is shown; `made_at` in milliseconds since the epoch."""

    name: str
    made_at: int
    timeline: int
    position: int


class Source:
    """The views of a lake, and views of what is in the period.

    `period_events` are its events, `period_attempts` the attempts that began in it, `ended_attempts` those
    that ended in it, `period_retries` the events of its that tell of trying again and giving up, with their
    `type`. The column `bucket` says when the stretch of time begins that each is in. A job is late that is
    not done `within_ms` since it was due.

    What was imported has happened before, and has no events of its own but that of its import: its attempts
    and jobs are counted in the period in which they were.
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
        """The first row, of which there has to be one."""
        return self.rows(query)[0]

    def records(self, query: str) -> list[Mapping[str, Any]]:
        """Rows by the names of their columns."""
        with explained():
            result = self._connection.execute(query)
            names = [name for name, *_ in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def snapshot(self) -> ShownSnapshot | None:
        """The backup that is shown; `None` where the lake has none."""
        found = self.rows("SELECT name, timestamp, timeline, position FROM snapshots WHERE is_shown")
        return ShownSnapshot(*found[0]) if found else None


def find_period(
    connection: Connection, since: str | None, until: str | None, time_zone: str = "UTC"
) -> Period:
    """The period from `since` to `until`; without them, all that the lake shows, to the minute.

    Raises:
        AnalyticsError: there is no event, a moment cannot be read, the lake does not reach it, nothing is
            between them, or it is not certain what the zone's clocks show.
    """
    zone = zone_of(time_zone)
    [(first, last)] = connection.execute("SELECT min(recorded_at), max(recorded_at) FROM events").fetchall()
    # What was imported happened before the log began.
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
    """Returns if the clocks of the zone show to DuckDB what they show to Python, in the whole period.

    Each has the rules of all zones, and may have older ones. Where they differ, figures would be missing in
    charts, whose stretches of time would begin at other times than those of the queries.

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
