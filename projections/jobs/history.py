"""The table `job_history`, with one row for each attempt; it follows from the events of jobs."""

from typing import Annotated, Any

import msgspec

from domain.jobs import Job, events, limits
from domain.messages import about
from projections.table import BesideTable, Row

HISTORY = "job_history"


class JobAttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a job. Times are milliseconds since the epoch."""

    id: Annotated[int, about("the position at which the attempt began; negative if it was imported")]
    job_id: str
    attempt: Annotated[int, about("1, 2, …")]
    # A text and not a fixed set, since imported attempts may have ended in other ways.
    status: Annotated[
        str,
        about(
            "`running`, or how it ended: `completed`, `failed`, `timeout`, `cancelled`, `snoozed`,"
            " `interrupted`, `rescued`; of an imported one, as it was told"
        ),
    ]
    started_at: int | None
    completed_at: int | None
    duration_ms: int | None
    error_message: str | None
    queue: str
    due_at: Annotated[int | None, about("when the job was due; null if the attempt was imported")]
    traceback: Annotated[str | None, about("the traceback, if the worker reported one")]


HISTORY_COLUMNS = JobAttemptRow.__struct_fields__


def history_rows(before: Job | None, after: Job | None, event: Any, at: int) -> list[Row]:
    """The rows of the attempts that an event begins, ends or imports.

    The id is the position at which the attempt began. Attempts of an imported job have negative ids, in their
    order, as no position is negative.
    """
    if before is None:
        if not isinstance(event, events.Imported) or after is None:
            return []
        first = -after.created_position * limits.MAXIMUM_IMPORTED_ATTEMPTS
        return [_imported_row(first + index, after, one) for index, one in enumerate(event.history)]
    row = _history_row(before, after, event, at)
    return [] if row is None else [row]


def _imported_row(row_id: int, job: Job, one: events.ImportedAttempt) -> Row:
    times = (one.started_at, one.completed_at, one.duration_ms)
    return (row_id, job.id, one.attempt, one.status, *times, one.error_message, job.queue, None, None)


def _history_row(before: Job, after: Job | None, event: Any, at: int) -> Row | None:
    if after is None:
        return None
    if isinstance(event, events.Claimed):
        began = (after.attempt_position, after.id, after.attempt, "running", at)
        return (*began, None, None, None, after.queue, before.run_at, None)
    if before.state != "running" or after.state == "running":
        return None
    started_at = before.attempt_started_at
    return (
        before.attempt_position,
        after.id,
        before.attempt,
        _ENDS.get(type(event), after.state),
        started_at,
        at,
        None if started_at is None else at - started_at,
        getattr(event, "error", None),
        before.queue,
        # A running job keeps the time at which it was due.
        before.run_at,
        getattr(event, "traceback", None),
    )


# The status of an attempt after an event, where the next state of its job does not show it.
_ENDS: dict[type[Any], str] = {
    events.AttemptFailed: "failed",
    events.AttemptTimedOut: "timeout",
    events.Snoozed: "snoozed",
    events.Interrupted: "interrupted",
    events.Rescued: "rescued",
}


BESIDE_JOBS = BesideTable(name=HISTORY, columns=HISTORY_COLUMNS, owner="job_id", rows=history_rows)
