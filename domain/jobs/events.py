"""The events of jobs."""

import msgspec

from domain.jobs.groups import AwaitedGroup
from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS, DEFAULT_TIMEOUT_MS
from domain.jobs.retries import JobRetry
from domain.limiting import CountedRate, JobConcurrency, JobRate
from domain.messages import Event, Json
from domain.rate_limits.job_calls import JobBudget

EMPTY_OBJECT = msgspec.Raw(b"{}")
NO_RESULT = msgspec.Raw(b"null")


class Enqueued(Event, frozen=True, kw_only=True):
    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Json = EMPTY_OBJECT
    tool: str | None = None
    endpoint: str | None = None
    run_at: int
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    tags: tuple[str, ...] = ()
    unique_key: str | None = None
    depends_on: tuple[str, ...] = ()
    # The jobs of `depends_on` that had not completed by then.
    waiting_for: tuple[str, ...] = ()
    on_dependency_failure: str = "cancel"
    held: bool = False
    schedule_id: str | None = None
    budget: JobBudget | None = None
    retry: JobRetry | None = None
    group_id: str | None = None
    after_group: AwaitedGroup | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    result_ttl_ms: int | None = None


class ImportedAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An attempt of a job as the system before this one kept it."""

    attempt: int
    status: str
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None
    error_message: str | None = None


class Imported(Event, frozen=True, kw_only=True):
    """A job as the system before this one left it, with its times and attempts.

    `state` is the job's state here: a job that was running there is `retrying`.
    """

    type: str
    name: str
    priority: int = 2
    payload: Json = NO_RESULT
    tool: str | None = None
    endpoint: str | None = None
    state: str
    run_at: int
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS
    attempt: int = 0
    retry_count: int = 0
    recovery_attempts: int = 0
    created_at: int
    updated_at: int
    persisted_at: int
    started_at: int | None = None
    completed_at: int | None = None
    result: Json = NO_RESULT
    error: str | None = None
    history: tuple[ImportedAttempt, ...] = ()


class Claimed(Event, frozen=True, kw_only=True):
    worker: str
    attempt: int
    # The rates that the begin of the attempt counts for.
    counted: tuple[CountedRate, ...] = ()


class Progressed(Event, frozen=True, kw_only=True):
    percent: float | None = None
    note: str | None = None


class Completed(Event, frozen=True, kw_only=True):
    result: Json = NO_RESULT


class AttemptFailed(Event, frozen=True, kw_only=True):
    """The attempt failed, and the job is due again at `next_run_at`."""

    error: str
    traceback: str | None = None
    next_run_at: int


class Failed(Event, frozen=True, kw_only=True):
    error: str
    traceback: str | None = None


class Snoozed(Event, frozen=True, kw_only=True):
    run_at: int


class Interrupted(Event, frozen=True, kw_only=True):
    pass


class CancelRequested(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Cancelled(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Retried(Event, frozen=True, kw_only=True):
    max_attempts: int
    waiting_for: tuple[str, ...] = ()


class Rescued(Event, frozen=True, kw_only=True):
    """The worker was lost, and the job is due again at `next_run_at`."""

    next_run_at: int
    # Whether the loss cost an attempt. It did in older events, which do not have the field.
    costs_attempt: bool = True


class AttemptTimedOut(Event, frozen=True, kw_only=True):
    """The attempt took too long, and the job is due again at `next_run_at`."""

    error: str
    next_run_at: int


class TimedOut(Event, frozen=True, kw_only=True):
    """The last attempt took too long."""

    error: str


class Held(Event, frozen=True, kw_only=True):
    pass


class Released(Event, frozen=True, kw_only=True):
    pass


class Rescheduled(Event, frozen=True, kw_only=True):
    run_at: int


class DependencyMet(Event, frozen=True, kw_only=True):
    """A job that this one waited for has completed, or it has failed and this one runs all the same."""

    dependency: str


class GroupMet(Event, frozen=True, kw_only=True):
    """The group that this job waited for met its condition, or it cannot and the job runs all the same."""

    group: str


class Replaced(Event, frozen=True, kw_only=True):
    """Another job with the same unique key was enqueued: this job takes over that one's content."""

    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Json = EMPTY_OBJECT
    tool: str | None = None
    endpoint: str | None = None
    run_at: int
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    tags: tuple[str, ...] = ()
    budget: JobBudget | None = None
    retry: JobRetry | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    result_ttl_ms: int | None = None


class Reprioritized(Event, frozen=True, kw_only=True):
    priority: int


class PayloadUpdated(Event, frozen=True, kw_only=True):
    payload: Json


class Archived(Event, frozen=True, kw_only=True):
    pass
