"""Rows, results and answers of `schedules`. Made by `make client`."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hyperpage_client.answers.shared import JobBudget, JobConcurrency, JobRate, JobRetry

if TYPE_CHECKING:
    JobUniqueScope = Literal["incomplete", "successful", "all", "waiting"]
    ScheduleOnMissed = Literal["run_once", "skip"]
else:
    # A newer service may have more.
    JobUniqueScope = ScheduleOnMissed = str


class TriggerResult(msgspec.Struct, frozen=True, kw_only=True):
    """The job that was made at once."""

    id: str


class JobUnique(msgspec.Struct, frozen=True, kw_only=True):
    """Which job of a key stands in the way of another one, as it was accepted once."""

    key: str
    scope: JobUniqueScope = "incomplete"
    window_ms: int | None = None


class JobTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """What is enqueued each time, as it was accepted once: it is read whatever is allowed today."""

    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Any = {}
    tool: str | None = None
    endpoint: str | None = None
    max_attempts: int = 5
    timeout_ms: int = 900000
    tags: tuple[str, ...] = ()
    budget: JobBudget | None = None
    retry: JobRetry | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    result_ttl_ms: int | None = None
    unique: JobUnique | None = None


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. Times are milliseconds since the epoch."""

    id: str
    paused: bool
    every_ms: int | None = None
    cron: str | None = None
    time_zone: str
    on_missed: ScheduleOnMissed
    job: JobTemplate
    next_run_at: int | None = None
    last_run_at: int | None = None
    last_job_id: str | None = None
    created_at: int
    updated_at: int
    version: int
    position: int


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which a schedule would run, in milliseconds since the epoch."""

    run_at: int


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule would run."""

    items: tuple[PlannedRun, ...]
