"""The table `schedules`, with one row for each schedule."""

from collections.abc import Iterator
from typing import Annotated

import apsw
import msgspec

from domain import schedules
from domain.messages import Key, about
from domain.schedules import Schedule
from domain.schedules.messages import JobTemplate, OnMissed
from projections.table import Row, Table, page_query


class GetSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One schedule."""

    id: Key


class CountSchedules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Schedules that match the filters."""

    paused: bool | None = None


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. Times are milliseconds since the epoch."""

    id: str
    paused: Annotated[bool, about("whether the schedule is paused: it makes no jobs")]
    every_ms: Annotated[int | None, about("the interval in milliseconds; either this or `cron`")]
    cron: Annotated[str | None, about("minute, hour, day, month, weekday; either this or `every_ms`")]
    time_zone: Annotated[str, about("the time zone of `cron`")]
    on_missed: Annotated[OnMissed, about("after missed times: one job for all of them, or none")]
    job: Annotated[JobTemplate, about("the job that is enqueued each time")]
    next_run_at: Annotated[int | None, about("the time of its next job")]
    last_run_at: Annotated[int | None, about("the time of its last job")]
    last_job_id: str | None
    created_at: int
    updated_at: int
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]


def _row(schedule: Schedule, version: int, position: int) -> Row:
    return (
        schedule.id,
        int(schedule.paused),
        schedule.every_ms,
        schedule.cron,
        schedule.time_zone,
        schedule.on_missed,
        msgspec.json.encode(schedule.job).decode(),
        schedule.next_run_at,
        schedule.last_run_at,
        schedule.last_job_id,
        schedule.created_at,
        schedule.updated_at,
        version,
        position,
    )


TABLE = Table(
    name=schedules.TABLE,
    shape=ScheduleRow,
    row=_row,
    get_query=GetSchedule,
    key_of=lambda query: str(query.id),
    count_query=CountSchedules,
    list_query=page_query(CountSchedules, "Schedules that match the filters, in the order of their ids."),
)


def next_runs(connection: apsw.Connection) -> Iterator[tuple[str, int]]:
    """Every schedule that makes jobs, with the time of its next job."""
    yield from connection.execute(
        "SELECT id, next_run_at FROM schedules WHERE NOT paused AND next_run_at IS NOT NULL"
    )
