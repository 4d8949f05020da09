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
    type: Annotated[str, about("what kind of work it is")]
    name: Annotated[str, about("what people call it")]
    priority: Annotated[int, about("1 low, 2 medium, 3 high, 4 critical")]
    status: Annotated[Status, about("the state, by the names of the system before")]
    tool: Annotated[str | None, about("the tool that it is about")]
    endpoint: Annotated[str | None, about("where that tool is reached")]
    payload: Annotated[Any, about("an object for its worker; of an imported job, any JSON")]
    result: Annotated[Any, about("what came out, any JSON; null until it has completed")]
    created_at: Annotated[int, about("when it was enqueued")]
    updated_at: Annotated[int, about("when it last changed")]
    started_at: Annotated[int | None, about("when its first attempt began")]
    completed_at: Annotated[int | None, about("when it ended, however it did")]
    retry_count: Annotated[int, about("how often it was tried again")]
    persisted_at: Annotated[int, about("when this row was written; of an imported job, as it was there")]
    recovery_attempts: Annotated[int, about("how often it was taken from a worker that was lost")]
    state: State
    queue: str
    run_at: Annotated[int, about("when it is due, or was")]
    attempt: Annotated[int, about("the number of the attempt, 0 before the first one")]
    max_attempts: Annotated[int, about("how often it is tried at most")]
    worker: Annotated[str | None, about("who has it, or had it last")]
    error: Annotated[str | None, about("why the last attempt failed")]
    cancel_requested: Annotated[bool, about("whether its worker is asked to stop")]
    progress: JobProgress | None
    created_position: Annotated[int, about("the position of its first event")]
    timeout_ms: Annotated[int, about("how long one attempt may take, in milliseconds")]
    deadline_at: Annotated[int | None, about("when the attempt under way has taken too long")]
    tags: tuple[str, ...]
    unique_key: Annotated[str | None, about("the key of which there is one job only")]
    depends_on: Annotated[tuple[str, ...], about("the jobs that had to complete first")]
    waiting_for: Annotated[tuple[str, ...], about("those of them that it still waits for")]
    on_dependency_failure: Annotated[
        OnDependencyFailure, about("what becomes of it if one of those does not complete")
    ]
    schedule_id: Annotated[str | None, about("the schedule that made it")]
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    budget: Annotated[
        JobBudget | msgspec.UnsetType, about("the rate limit that it draws on; left out where it has none")
    ] = msgspec.UNSET
    cancel_reason: Annotated[
        str | msgspec.UnsetType,
        about("why it was cancelled, or is to be; left out where nobody has said, or it is not"),
    ] = msgspec.UNSET
    retry: Annotated[
        JobRetry | msgspec.UnsetType,
        about("when it is tried again; left out where that is as for any job"),
    ] = msgspec.UNSET
    group_id: Annotated[
        str | msgspec.UnsetType, about("the group that it belongs to; left out where it has none")
    ] = msgspec.UNSET
    after_group: Annotated[
        AwaitedGroup | msgspec.UnsetType,
        about("the group that it waits for, until `met_at`; left out where it has none"),
    ] = msgspec.UNSET
    concurrency: Annotated[
        JobConcurrency | msgspec.UnsetType,
        about("how many jobs with its key may run at once; left out where it has none"),
    ] = msgspec.UNSET
    rate: Annotated[
        JobRate | msgspec.UnsetType,
        about("how many attempts with its key may begin in a window; left out where it has none"),
    ] = msgspec.UNSET
    result_ttl_ms: Annotated[
        int | msgspec.UnsetType,
        about("how long it stays once it has completed, in milliseconds; left out where it does not go"),
    ] = msgspec.UNSET


class WholeJobRow(JobRow, frozen=True, kw_only=True):
    """A job with all that is known of it, also what lists leave out."""

    traceback: Annotated[str | None, about("where the last attempt failed, if its worker told")]


class LeasedJob(JobRow, frozen=True, kw_only=True):
    """A job as a worker gets it, under a lease."""

    lease: Annotated[str, about("the token that comes with everything that is said of the attempt")]
    lease_expires_at: Annotated[int, about("when the lease runs out, if no heartbeat comes")]
