"""The row of a job: in lists, in full, and as a worker gets it."""

from typing import Annotated, Any

import msgspec

from domain.jobs.commands import OnDependencyFailure
from domain.jobs.groups import AwaitedGroup
from domain.jobs.retries import JobRetry
from domain.jobs.state import State, Status
from domain.limiting import JobConcurrency, JobRate
from domain.messages import about
from domain.rate_limits.job_calls import JobBudget


class JobProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of a job, as its worker last reported it."""

    percent: Annotated[float | None, about("how much of it is done")] = None
    note: Annotated[str | None, about("what it is doing")] = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as lists show it. Times are milliseconds since the epoch."""

    id: str
    type: Annotated[str, about("the kind of work")]
    name: Annotated[str, about("a name for people")]
    priority: Annotated[int, about("1 low, 2 medium, 3 high, 4 critical")]
    status: Annotated[Status, about("the state, in the words of the earlier system")]
    tool: Annotated[str | None, about("the tool that the job is for")]
    endpoint: Annotated[str | None, about("the address of that tool")]
    payload: Annotated[Any, about("a JSON object for the worker; any JSON if the job was imported")]
    result: Annotated[Any, about("the result, any JSON; null until the job has completed")]
    created_at: Annotated[int, about("when the job was enqueued")]
    updated_at: Annotated[int, about("when the job last changed")]
    started_at: Annotated[int | None, about("when its first attempt began")]
    completed_at: Annotated[int | None, about("when the job ended, in whatever state")]
    retry_count: Annotated[int, about("the number of retries")]
    persisted_at: Annotated[
        int,
        about("when this row was written; of an imported job, its earlier time until it first changes here"),
    ]
    recovery_attempts: Annotated[int, about("how often the job was taken from a lost worker")]
    state: State
    queue: str
    run_at: Annotated[int, about("when the job is or was due")]
    attempt: Annotated[int, about("the number of the attempt, 0 before the first one")]
    max_attempts: Annotated[int, about("the maximum number of attempts")]
    worker: Annotated[str | None, about("the worker that has the job, or had it last")]
    error: Annotated[str | None, about("why the last attempt failed")]
    cancel_requested: Annotated[bool, about("whether its worker is asked to stop")]
    progress: JobProgress | None
    created_position: Annotated[int, about("the position of its first event")]
    timeout_ms: Annotated[int, about("the maximum duration of one attempt, in milliseconds")]
    deadline_at: Annotated[int | None, about("when the current attempt times out")]
    tags: tuple[str, ...]
    unique_key: Annotated[str | None, about("the key of its `unique`, `debounce` or `throttle`")]
    depends_on: Annotated[tuple[str, ...], about("the jobs that must complete before this one can begin")]
    waiting_for: Annotated[tuple[str, ...], about("the jobs among them that it still waits for")]
    on_dependency_failure: Annotated[
        OnDependencyFailure, about("what happens to the job if what it waits for does not complete")
    ]
    schedule_id: Annotated[str | None, about("the schedule that made it")]
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    budget: Annotated[
        JobBudget | msgspec.UnsetType, about("the rate limit that the job draws on; left out if it has none")
    ] = msgspec.UNSET
    cancel_reason: Annotated[
        str | msgspec.UnsetType,
        about("why the job was or is to be cancelled; left out if no reason was given"),
    ] = msgspec.UNSET
    retry: Annotated[
        JobRetry | msgspec.UnsetType,
        about("the delays between attempts; left out if they are the default"),
    ] = msgspec.UNSET
    group_id: Annotated[str | msgspec.UnsetType, about("the group of the job; left out if it has none")] = (
        msgspec.UNSET
    )
    after_group: Annotated[
        AwaitedGroup | msgspec.UnsetType,
        about("the group that the job waits for, until `met_at`; left out if it has none"),
    ] = msgspec.UNSET
    concurrency: Annotated[
        JobConcurrency | msgspec.UnsetType,
        about("how many jobs with the key may run at once, if it has a limit; left out if the job has none"),
    ] = msgspec.UNSET
    rate: Annotated[
        JobRate | msgspec.UnsetType,
        about("how many attempts with the key may begin in a window; left out if the job has none"),
    ] = msgspec.UNSET
    result_ttl_ms: Annotated[
        int | msgspec.UnsetType,
        about("how long the job stays after it has completed, in milliseconds; left out if it does not say"),
    ] = msgspec.UNSET


class WholeJobRow(JobRow, frozen=True, kw_only=True):
    """A job with all that is known of it, also what lists leave out."""

    traceback: Annotated[
        str | None, about("the traceback of the last failed attempt, if its worker reported one")
    ]


class LeasedJob(JobRow, frozen=True, kw_only=True):
    """A job as a worker gets it, under a lease."""

    lease: Annotated[str, about("the token that every command about this attempt has to name")]
    lease_expires_at: Annotated[int, about("when the lease ends if no heartbeat comes")]
