r"""The state of a job, and the machine that its events drive.

                enqueue
      run_at later /  | \ hold
                  v   |  v      hold (of a job that waits)
        scheduled     |  held <--------------------------.
             \        v   | release                      |
              `--> pending <'  <------------ interrupt, retry (of failed, cancelled, timeout)
              due     |   \
        ^             |    \ cancel (of any that no worker has) --> cancelled
        |           claim                                              ^
        |             v                                                |
        | snooze   running --- ack_cancel -----------------------------'
        '----------'  | |
                      | '- complete -------------------------> completed
                      |
                      |--- fail, out of attempts or not retryable; lost three workers --> failed
                      |
                      |--- the attempt's deadline passed, out of attempts --> timeout
                      |
                      '--- any of these with attempts left; lease expired --> retrying --(due)--> claim

    enqueue with depends_on, after_group --> blocked --- all of that is so --> scheduled, pending
    import --> as it was in the system before, but running --> retrying
    completed, failed, cancelled, timeout --- archive --> (gone from the tables)

A due job is one that is scheduled, pending or retrying and whose `run_at` has come. The `status` column
knows the older names only: scheduled, pending and blocked are all `pending` there. A blocked job can be
held, cancelled and changed like one that is scheduled. After it is released, or retried, it waits again for
the jobs and the group that it still needs.
"""

from typing import Any, Literal, get_args

import msgspec

from domain.errors import NotFound
from domain.jobs import events
from domain.jobs.groups import AwaitedGroup
from domain.jobs.limits import DEFAULT_TIMEOUT_MS
from domain.jobs.retries import JobRetry
from domain.limiting import CountedRate, JobConcurrency, JobRate
from domain.messages import Event, Json, Recorded
from domain.rate_limits.job_calls import JobBudget

TABLE = "jobs"

State = Literal[
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
# The values of the `status` column: the states, by the names of the system before.
Status = Literal["pending", "held", "running", "retrying", "completed", "failed", "cancelled", "timeout"]
STATES: frozenset[str] = frozenset(get_args(State))
# The states of jobs that a worker may get once their `run_at` has come.
WAITING: frozenset[str] = frozenset({"scheduled", "pending", "retrying"})
# The states of unfinished jobs that no worker has.
IDLE: frozenset[str] = WAITING | {"held", "blocked"}
FINISHED: frozenset[str] = frozenset({"completed", "failed", "cancelled", "timeout"})
RETRYABLE: frozenset[str] = frozenset({"failed", "cancelled", "timeout"})


def status_of(state: str) -> str:
    """The older name of a state, as the `status` column has it."""
    return "pending" if state in ("scheduled", "blocked") else state


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as its events have left it. `attempt_position` is that of the event that began the attempt.

    `counted` are the rates that the begin of the attempt counts for.

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
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    tags: tuple[str, ...] = ()
    unique_key: str | None = None
    depends_on: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    on_dependency_failure: str = "cancel"
    schedule_id: str | None = None
    budget: JobBudget | None = None
    created_at: int
    updated_at: int
    created_position: int
    result: Json
    attempt: int = 0
    attempt_position: int = 0
    attempt_started_at: int | None = None
    deadline_at: int | None = None
    retry_count: int = 0
    recovery_attempts: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    # Set where it differs from `updated_at`: of an imported job, until its first event here.
    persisted_at: int | None = None
    worker: str | None = None
    error: str | None = None
    traceback: str | None = None
    cancel_requested: bool = False
    cancel_reason: str | None = None
    progress: events.Progressed | None = None
    progressed_at: int | None = None
    retry: JobRetry | None = None
    group_id: str | None = None
    after_group: AwaitedGroup | None = None
    concurrency: JobConcurrency | None = None
    rate: JobRate | None = None
    counted: tuple[CountedRate, ...] = ()
    result_ttl_ms: int | None = None

    @property
    def waits_for_group(self) -> bool:
        """Whether the group that it waits for is still to be met; also while the job is held."""
        return self.after_group is not None and self.after_group.met_at is None

    @property
    def waits_for_others(self) -> bool:
        """Whether jobs or a group that it waits for are still to be met; also while the job is held."""
        return bool(self.waiting_for) or self.waits_for_group


def existing(state: Job | None, key: str) -> Job:
    """The job of a command.

    Raises:
        NotFound: there is none.
    """
    if state is None:
        raise NotFound(f"there is no job {key}")
    return state


def evolve(state: Job | None, recorded: Recorded) -> Job | None:
    """The job after an event; `None` once it is archived."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, events.Enqueued):
        return _new(event, recorded)
    if isinstance(event, events.Imported):
        return _imported(event, recorded)
    assert state is not None, "a job begins with its enqueueing"
    if isinstance(event, events.Archived):
        return None
    changes = _changes(state, event, at, recorded.position)
    if state.state == "running" and changes.get("state", "running") != "running":
        changes["deadline_at"] = None
    return msgspec.structs.replace(state, updated_at=at, persisted_at=None, **changes)


def _new(event: events.Enqueued, recorded: Recorded) -> Job:
    at = recorded.recorded_at
    is_blocked = bool(event.waiting_for) or event.after_group is not None
    # In two steps: for a call with more than 15 keyword arguments, Python makes a dictionary, which is slow.
    job = Job(
        id=recorded.key,
        type=event.type,
        name=event.name,
        priority=event.priority,
        queue=event.queue,
        payload=event.payload,
        tool=event.tool,
        endpoint=event.endpoint,
        state="held" if event.held else _free(is_blocked, event.run_at, at),
        run_at=event.run_at,
        max_attempts=event.max_attempts,
        created_at=at,
        updated_at=at,
        created_position=recorded.position,
        result=events.NO_RESULT,
    )
    return msgspec.structs.replace(
        job,
        timeout_ms=event.timeout_ms,
        tags=event.tags,
        unique_key=event.unique_key,
        depends_on=event.depends_on,
        waiting_for=event.waiting_for,
        on_dependency_failure=event.on_dependency_failure,
        schedule_id=event.schedule_id,
        budget=event.budget,
        retry=event.retry,
        result_ttl_ms=event.result_ttl_ms,
        group_id=event.group_id,
        after_group=event.after_group,
        concurrency=event.concurrency,
        rate=event.rate,
    )


def _imported(event: events.Imported, recorded: Recorded) -> Job:
    columns = msgspec.structs.asdict(event)
    del columns["history"]
    return Job(id=recorded.key, queue="default", created_position=recorded.position, **columns)


def _free(is_blocked: bool, run_at: int, now: int) -> State:
    """The state of a job that is not held and that no worker has."""
    return "blocked" if is_blocked else _by_time(run_at, now)


def _by_time(run_at: int, now: int) -> State:
    return "scheduled" if run_at > now else "pending"


def _changes(job: Job, event: Event, at: int, position: int) -> dict[str, Any]:
    match event:
        case events.Claimed():
            return {
                "state": "running",
                "worker": event.worker,
                "attempt": event.attempt,
                "attempt_position": position,
                "attempt_started_at": at,
                "deadline_at": at + job.timeout_ms,
                "started_at": at if job.started_at is None else job.started_at,
                "progress": None,
                "progressed_at": None,
                "counted": event.counted,
            }
        case events.Completed():
            ended = {"state": "completed", "completed_at": at, "result": event.result}
            return {**ended, "error": None, "traceback": None}
        case events.Progressed():
            return {"progress": event, "progressed_at": at}
        case events.AttemptFailed() | events.AttemptTimedOut():
            return {
                "state": "retrying",
                "run_at": event.next_run_at,
                "retry_count": job.retry_count + 1,
                **_failure(event),
            }
        case events.Failed():
            return {"state": "failed", "completed_at": at, **_failure(event)}
        case events.TimedOut():
            return {"state": "timeout", "completed_at": at, **_failure(event)}
        case events.Snoozed():
            return {"state": "scheduled", "run_at": event.run_at, "attempt": job.attempt - 1, "worker": None}
        case events.Interrupted():
            return {"state": "pending", "run_at": at, "attempt": job.attempt - 1, "worker": None}
        case events.CancelRequested():
            return {"cancel_requested": True, "cancel_reason": event.reason}
        case events.Cancelled():
            return {"state": "cancelled", "completed_at": at, "cancel_reason": event.reason}
        case events.Retried():
            return {
                "state": "blocked" if event.waiting_for or job.waits_for_group else "pending",
                "waiting_for": event.waiting_for,
                "run_at": at,
                "max_attempts": event.max_attempts,
                "retry_count": job.retry_count + 1,
                "recovery_attempts": 0,
                "completed_at": None,
                "cancel_requested": False,
                "cancel_reason": None,
            }
        case events.Rescued():
            return {
                "state": "retrying",
                "run_at": event.next_run_at,
                "recovery_attempts": job.recovery_attempts + 1,
                "attempt": job.attempt if event.costs_attempt else job.attempt - 1,
            }
        case _:
            return _changes_while_idle(job, event, at)


def _failure(event: Event) -> dict[str, str | None]:
    # There is no traceback of an attempt that the service itself ends.
    return {name: getattr(event, name, None) for name in ("error", "traceback")}


def _changes_while_idle(job: Job, event: Event, at: int) -> dict[str, Any]:
    """The changes of an event to a job that no worker has."""
    match event:
        case events.Held():
            return {"state": "held"}
        case events.Released():
            return {"state": _free(job.waits_for_others, job.run_at, at)}
        case events.DependencyMet():
            waiting_for = tuple(one for one in job.waiting_for if one != event.dependency)
            is_blocked = bool(waiting_for) or job.waits_for_group
            state = _free(is_blocked, job.run_at, at) if job.state == "blocked" else job.state
            return {"waiting_for": waiting_for, "state": state}
        case events.GroupMet():
            assert job.after_group is not None, "it waits for a group"
            state = _free(bool(job.waiting_for), job.run_at, at) if job.state == "blocked" else job.state
            return {"after_group": msgspec.structs.replace(job.after_group, met_at=at), "state": state}
        case events.Rescheduled():
            return {"run_at": event.run_at, "state": _moved(job, event.run_at, at)}
        case events.Replaced():
            return msgspec.structs.asdict(event) | {"state": _moved(job, event.run_at, at)}
        case events.Reprioritized():
            return {"priority": event.priority}
        case events.PayloadUpdated():
            return {"payload": event.payload}
        case _:
            raise TypeError(f"not an event of a job: {type(event).__name__}")


def _moved(job: Job, run_at: int, now: int) -> State:
    return _by_time(run_at, now) if job.state in ("scheduled", "pending") else job.state
