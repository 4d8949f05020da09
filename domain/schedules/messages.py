"""The commands and the events of schedules."""

from typing import Annotated, Literal

import msgspec

from domain.jobs.commands import (
    CallBudget,
    Priority,
    ResultTtlMs,
    Tags,
    TimeoutMs,
    UniqueKey,
    UniqueScope,
    WindowMs,
)
from domain.jobs.events import EMPTY_OBJECT
from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE, DEFAULT_TIMEOUT_MS
from domain.jobs.retries import JobRetry, RetryPolicy
from domain.limiting import Concurrency, JobConcurrency, JobRate, Rate
from domain.messages import KEY_PATTERN, Command, Event, Json, Key, Name, Text, about
from domain.rate_limits.job_calls import JobBudget

# Shorter than a key, since a job's id is `<schedule>@<time>`, which is a key itself.
ScheduleKey = Annotated[str, msgspec.Meta(pattern=KEY_PATTERN, max_length=180)]
OnMissed = Literal["run_once", "skip"]
IntervalMs = Annotated[int, msgspec.Meta(ge=1_000, le=366 * 86_400_000)]
CronExpression = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
TimeZone = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class ScheduledUnique(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """No job is made while another one has the key; without a key, that is the schedule's id.

    Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
    """

    key: UniqueKey | None = None
    scope: UniqueScope = "incomplete"
    window_ms: WindowMs | None = None


class ScheduledJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The job to enqueue each time; the fields are those of `jobs.enqueue`."""

    type: Name
    name: Name
    priority: Priority = DEFAULT_PRIORITY
    queue: Key = DEFAULT_QUEUE
    # A factory, since a schema cannot show raw JSON as a default.
    payload: Json = msgspec.field(default_factory=lambda: EMPTY_OBJECT)
    tool: Name | None = None
    endpoint: Text | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = DEFAULT_MAXIMUM_ATTEMPTS
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS
    tags: Tags = ()
    budget: CallBudget | None = None
    retry: RetryPolicy | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    result_ttl_ms: ResultTtlMs | None = None
    unique: ScheduledUnique | None = None


class SetSchedule(Command, frozen=True, kw_only=True):
    """A schedule as it is from now on: every `every_ms` milliseconds, or by a `cron` expression.

    A cron expression has five fields or is a name for them (`@daily`, `@hourly` …), and is read in the
    `time_zone` (UTC by default).
    """

    id: ScheduleKey
    job: ScheduledJob
    every_ms: IntervalMs | None = None
    cron: CronExpression | None = None
    time_zone: TimeZone = "UTC"
    on_missed: OnMissed = "run_once"


class DeleteSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes no more jobs, and is gone. Its jobs stay."""

    id: ScheduleKey


class PauseSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes no jobs until it is resumed."""

    id: ScheduleKey


class ResumeSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes jobs again, beginning with the next time; those that passed do not count."""

    id: ScheduleKey


class TriggerSchedule(Command, frozen=True, kw_only=True):
    """A job is made at once, paused or not; the result has the job's id. The schedule's times stay."""

    id: ScheduleKey


class TriggerResult(msgspec.Struct, frozen=True, kw_only=True):
    """The job that was made at once."""

    id: Annotated[str, about("the job that was made")]


class RunSchedule(Command, frozen=True, kw_only=True):
    """The service's own: the schedule's time has come."""

    id: ScheduleKey


class JobUnique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which job of a key stands in the way of another one, as it was accepted once."""

    key: Annotated[str, about("the key, one for the whole store")]
    scope: Annotated[UniqueScope, about("which jobs stand in the way")] = "incomplete"
    window_ms: Annotated[int | None, about("only those that were enqueued less than so long ago")] = None


class JobTemplate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is enqueued each time, as it was accepted once: it is read whatever is allowed today."""

    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Json = msgspec.field(default_factory=lambda: EMPTY_OBJECT)
    tool: str | None = None
    endpoint: str | None = None
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    tags: tuple[str, ...] = ()
    budget: JobBudget | None = None
    retry: JobRetry | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    result_ttl_ms: int | None = None
    unique: JobUnique | None = None


class ScheduleSet(Event, frozen=True, kw_only=True):
    job: JobTemplate
    every_ms: int | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    on_missed: str = "run_once"
    next_run_at: int | None = None


class Deleted(Event, frozen=True, kw_only=True):
    pass


class Paused(Event, frozen=True, kw_only=True):
    pass


class Resumed(Event, frozen=True, kw_only=True):
    next_run_at: int | None = None


class Triggered(Event, frozen=True, kw_only=True):
    """A job was made at once, on request."""

    job_id: str


class Ran(Event, frozen=True, kw_only=True):
    """A job was made for the time `due_at`."""

    job_id: str
    due_at: int
    next_run_at: int | None = None


class Skipped(Event, frozen=True, kw_only=True):
    """No job was made for the time `due_at`: it was missed, or the `existing` job stood in the way."""

    due_at: int
    next_run_at: int | None = None
    existing: str | None = None
