"""The table `schedules`, one row a schedule."""

from collections.abc import Iterator

import apsw
import msgspec

from domain import schedules
from domain.messages import Key
from domain.schedules import Schedule
from projections.table import Row, Table, page_query


class GetSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One schedule."""

    id: Key


class CountSchedules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Schedules by what they are."""

    paused: bool | None = None


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
    columns=(
        "id",
        "paused",
        "every_ms",
        "cron",
        "time_zone",
        "on_missed",
        "job",
        "next_run_at",
        "last_run_at",
        "last_job_id",
        "created_at",
        "updated_at",
        "version",
        "position",
    ),
    row=_row,
    get_query=GetSchedule,
    key_of=lambda query: str(query.id),
    count_query=CountSchedules,
    list_query=page_query(CountSchedules, "Schedules by what they are, in the order of their ids."),
    json_columns=frozenset({"job"}),
    boolean_columns=frozenset({"paused"}),
)


def next_runs(connection: apsw.Connection) -> Iterator[tuple[str, int]]:
    """Every schedule that makes jobs, with the time of its next job."""
    yield from connection.execute(
        "SELECT id, next_run_at FROM schedules WHERE NOT paused AND next_run_at IS NOT NULL"
    )
