r"""Background jobs: queued, claimed under a lease, retried with backoff, rescued when a worker vanishes.

                       enqueue
         run_at later /       \ due
                     v         v
               scheduled --> pending <------------------ interrupt, retry (of failed, cancelled, timeout)
               (once due,      |   \
               it is pending)  |    \ cancel -----------> cancelled
                   ^           v                             ^
                   |         running --- ack_cancel ---------'
                   |  snooze  | | |
                   '----------' | '-- complete ----------> completed
                                |
                                |---- fail, out of attempts or not retryable; rescued too often --> failed
                                |
                                '---- fail, with attempts left; lease expired ----> retrying --(due)--> claim

A due job is one that is scheduled, pending or retrying and whose `run_at` has come. The `status` column
knows the older names only: scheduled and pending are both `pending` there.
"""

from typing import Any, Literal

import msgspec

from domain.jobs.events import (
    NO_RESULT,
    AttemptFailed,
    Cancelled,
    CancelRequested,
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Interrupted,
    Progressed,
    Rescued,
    Retried,
    Snoozed,
)
from domain.messages import Event, Json, Recorded

TABLE = "jobs"

State = Literal["scheduled", "pending", "running", "retrying", "completed", "failed", "cancelled", "timeout"]
WAITING: frozenset[str] = frozenset({"scheduled", "pending", "retrying"})
RETRYABLE: frozenset[str] = frozenset({"failed", "cancelled", "timeout"})


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as its events have left it. `attempt_position` is that of the event that began the attempt.

    `result` is never `None`: msgspec reads no JSON into a `Raw | None`, and a kept state must be read again.
    """

    id: str
    type: str
    name: str
    priority: int
    queue: str
    payload: Json
    tool: str | None
    endpoint: str | None
    state: State
    run_at: int
    max_attempts: int
    created_at: int
    updated_at: int
    created_position: int
    result: Json
    attempt: int = 0
    attempt_position: int = 0
    attempt_started_at: int | None = None
    retry_count: int = 0
    recovery_attempts: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    worker: str | None = None
    error: str | None = None
    cancel_requested: bool = False
    cancel_reason: str | None = None
    progress: Progressed | None = None
    progressed_at: int | None = None


def is_waiting(job: Job | None) -> bool:
    """Whether a worker may get the job once its `run_at` has come."""
    return job is not None and job.state in WAITING


def evolve(state: Job | None, recorded: Recorded) -> Job:
    """The job after an event."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, Enqueued):
        return _new(event, recorded)
    assert state is not None, "a job begins with its enqueueing"
    return msgspec.structs.replace(state, updated_at=at, **_changes(state, event, at, recorded.position))


def _new(event: Enqueued, recorded: Recorded) -> Job:
    return Job(
        id=recorded.key,
        type=event.type,
        name=event.name,
        priority=event.priority,
        queue=event.queue,
        payload=event.payload,
        tool=event.tool,
        endpoint=event.endpoint,
        state="scheduled" if event.run_at > recorded.recorded_at else "pending",
        run_at=event.run_at,
        max_attempts=event.max_attempts,
        created_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        created_position=recorded.position,
        result=NO_RESULT,
    )


def _changes(job: Job, event: Event, at: int, position: int) -> dict[str, Any]:
    match event:
        case Claimed():
            return {
                "state": "running",
                "worker": event.worker,
                "attempt": event.attempt,
                "attempt_position": position,
                "attempt_started_at": at,
                "started_at": at if job.started_at is None else job.started_at,
                "progress": None,
                "progressed_at": None,
            }
        case Progressed():
            return {"progress": event, "progressed_at": at}
        case Completed():
            return {"state": "completed", "completed_at": at, "result": event.result, "error": None}
        case AttemptFailed():
            return {
                "state": "retrying",
                "run_at": event.next_run_at,
                "error": event.error,
                "retry_count": job.retry_count + 1,
            }
        case Failed():
            return {"state": "failed", "completed_at": at, "error": event.error}
        case Snoozed():
            return {"state": "scheduled", "run_at": event.run_at, "attempt": job.attempt - 1, "worker": None}
        case Interrupted():
            return {"state": "pending", "run_at": at, "attempt": job.attempt - 1, "worker": None}
        case CancelRequested():
            return {"cancel_requested": True, "cancel_reason": event.reason}
        case Cancelled():
            return {"state": "cancelled", "completed_at": at, "cancel_reason": event.reason}
        case Retried():
            return {
                "state": "pending",
                "run_at": at,
                "max_attempts": event.max_attempts,
                "retry_count": job.retry_count + 1,
                "recovery_attempts": 0,
                "completed_at": None,
                "cancel_requested": False,
                "cancel_reason": None,
            }
        case Rescued():
            return {
                "state": "retrying",
                "run_at": event.next_run_at,
                "recovery_attempts": job.recovery_attempts + 1,
            }
        case _:
            raise TypeError(f"not an event of a job: {type(event).__name__}")
