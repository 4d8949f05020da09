"""Rows, results and answers of `jobs`. Made by `make client`."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hyperpage_client.answers.shared import Count, JobBudget, JobConcurrency, JobRate, JobRetry

if TYPE_CHECKING:
    AwaitedGroupWhen = Literal["all_completed", "all_ended", "one_failed"]
    JobStatus = Literal[
        "pending", "held", "running", "retrying", "completed", "failed", "cancelled", "timeout"
    ]
    JobState = Literal[
        "scheduled",
        "pending",
        "held",
        "blocked",
        "running",
        "retrying",
        "completed",
        "failed",
        "cancelled",
        "timeout",
    ]
    JobOnDependencyFailure = Literal["cancel", "wait", "run"]
else:
    # A newer service may have more.
    AwaitedGroupWhen = JobStatus = JobState = JobOnDependencyFailure = str


class EnqueueResult(msgspec.Struct, frozen=True, kw_only=True):
    """There is a job with the unique key already."""

    existing: str


class JobProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a job, as its worker last reported it."""

    percent: float | None = None
    note: str | None = None


class AwaitedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The group that a job waits for, or has waited for until `met_at`."""

    id: str
    when: AwaitedGroupWhen
    met_at: int | None = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as lists show it. Times are milliseconds since the epoch."""

    id: str
    type: str
    name: str
    priority: int
    status: JobStatus
    tool: str | None = None
    endpoint: str | None = None
    payload: Any
    result: Any
    created_at: int
    updated_at: int
    started_at: int | None = None
    completed_at: int | None = None
    retry_count: int
    persisted_at: int
    recovery_attempts: int
    state: JobState
    queue: str
    run_at: int
    attempt: int
    max_attempts: int
    worker: str | None = None
    error: str | None = None
    cancel_requested: bool
    progress: JobProgress | None = None
    created_position: int
    timeout_ms: int
    deadline_at: int | None = None
    tags: tuple[str, ...]
    unique_key: str | None = None
    depends_on: tuple[str, ...]
    waiting_for: tuple[str, ...]
    on_dependency_failure: JobOnDependencyFailure
    schedule_id: str | None = None
    version: int
    position: int
    budget: JobBudget | None = None
    cancel_reason: str | None = None
    retry: JobRetry | None = None
    group_id: str | None = None
    after_group: AwaitedGroup | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    result_ttl_ms: int | None = None


class LeasedJob(JobRow, frozen=True, kw_only=True):
    """A job as a worker gets it, under a lease."""

    lease: str
    lease_expires_at: int


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that the worker has now."""

    jobs: tuple[LeasedJob, ...]
    retry_after_ms: int | None = None
    waits_for_ends: bool | None = None


class ProgressResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job."""

    cancel_requested: bool


class HeartbeatResult(ProgressResult, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job, and when its lease runs out."""

    lease_expires_at: int


class ManyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that a filter matched: the changed ones, the skipped ones, and how many remain."""

    ids: tuple[str, ...]
    skipped: tuple[str, ...]
    remaining: int


class WholeJobRow(JobRow, frozen=True, kw_only=True):
    """A job with all that is known of it, also what lists leave out."""

    traceback: str | None = None


class CountedValue(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows have a value."""

    value: str | None = None
    count: int


class GroupedCount(Count, frozen=True, kw_only=True):
    """How many rows there are, and how many have each value of the column that is asked for."""

    groups: tuple[CountedValue, ...] | None = None
    groups_left_out: int | None = None


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job without its large columns. Times are milliseconds since the epoch."""

    id: str
    type: str
    name: str
    priority: int
    state: JobState
    queue: str
    tool: str | None = None
    attempt: int
    max_attempts: int
    run_at: int
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    updated_at: int
    worker: str | None = None
    error: str | None = None
    cancel_requested: bool
    progress: JobProgress | None = None
    tags: tuple[str, ...]


class JobAttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a job. Times are milliseconds since the epoch."""

    id: int
    job_id: str
    attempt: int
    status: str
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None
    error_message: str | None = None
    queue: str
    due_at: int | None = None
    traceback: str | None = None


class GroupProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a group of jobs. Times are milliseconds since the epoch."""

    group_id: str
    total: int
    done: int
    percent: float | None = None
    states: dict[str, int]
    began_at: int | None = None
    ended_at: int | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of all queues together."""

    states: dict[str, int]
    overdue: int
    oldest_due_at: int | None = None
    oldest_due_id: str | None = None
    attempts: dict[str, int]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """The milliseconds that 50, 95 and 99 per cent of the attempts did not exceed, and the maximum."""

    p50: int
    p95: int
    p99: int
    max: int


class QueueStatistics(Totals, frozen=True, kw_only=True):
    """The figures of one queue."""

    wait_ms: Percentiles | None = None
    run_ms: Percentiles | None = None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the queues. Times are milliseconds since the epoch."""

    since: int
    until: int
    total: Totals
    queues: dict[str, QueueStatistics]
    queues_left_out: int


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts that ended in a window. Times are milliseconds since the epoch."""

    since: int
    until: int
    part_ms: int
    parts: tuple[dict[str, int], ...]


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, its present jobs, and its ended attempts. Times are milliseconds since the epoch."""

    running: int
    attempt_started_at: int | None = None
    lease_expires_at: int | None = None
    attempts: dict[str, int]
    last_ended_at: int | None = None
    first_claim_at: int | None = None
    last_claim_at: int | None = None
    host: str | None = None
    version: str | None = None
    asks_for: dict[str, tuple[str, ...] | None]


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """The workers. Times are milliseconds since the epoch."""

    since: int
    until: int
    workers: dict[str, Worker]


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker has. Times are milliseconds since the epoch."""

    worker: str | None = None
    id: str
    name: str
    type: str
    queue: str
    attempt: int
    max_attempts: int
    attempt_started_at: int | None = None
    lease_expires_at: int | None = None
    deadline_at: int | None = None
    cancel_requested: bool
    progress: JobProgress | None = None


class AwaitedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was waited for."""

    has_ended: bool
    job: WholeJobRow
