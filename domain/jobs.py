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

from typing import Annotated, Any, Literal

import msgspec

from domain.decider import Context, Decider, Decision, Lease, Notice, Verb
from domain.errors import AlreadyExists, Invalid, NotFound, RuleViolated
from domain.messages import Command, Event, Json, Key, Name, Recorded, Text, Time

TABLE = "jobs"

DEFAULT_MAXIMUM_ATTEMPTS = 5
DEFAULT_LEASE_MS = 30_000
# A job that took this many workers with it is not handed to a further one.
MAXIMUM_RESCUES = 3
RESCUE_DELAY_MS = 5_000
BACKOFF_BASE_MS = 5_000
BACKOFF_CAP_MS = 3_600_000
PROGRESS_EVENT_INTERVAL_MS = 30_000
# What a row weighs beside its payload and texts, generously.
_ROW_BYTES = 4 * 1024

State = Literal["scheduled", "pending", "running", "retrying", "completed", "failed", "cancelled", "timeout"]
WAITING: frozenset[str] = frozenset({"scheduled", "pending", "retrying"})
RETRYABLE: frozenset[str] = frozenset({"failed", "cancelled", "timeout"})

Priority = Annotated[int, msgspec.Meta(ge=1, le=4)]
LeaseMs = Annotated[int, msgspec.Meta(ge=1_000, le=3_600_000)]
ErrorText = Annotated[str, msgspec.Meta(max_length=10_000)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Token = Annotated[str, msgspec.Meta(max_length=200)]

_EMPTY_OBJECT = msgspec.Raw(b"{}")
NO_RESULT = msgspec.Raw(b"null")


# Commands


class Enqueue(Command, frozen=True, kw_only=True):
    """A new job, with a time-ordered id if none is given. Priorities: 1 low, 2 medium, 3 high, 4 critical."""

    type: Name
    name: Name
    id: Key | None = None
    priority: Priority = 2
    queue: Key = "default"
    payload: Json = _EMPTY_OBJECT
    tool: Name | None = None
    endpoint: Text | None = None
    run_at: Time | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = DEFAULT_MAXIMUM_ATTEMPTS


class Claim(Command, frozen=True, kw_only=True):
    """Up to `limit` due jobs of a queue for a worker, each under a lease of `lease_ms` milliseconds."""

    worker: Name
    queue: Key = "default"
    types: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    lease_ms: LeaseMs = DEFAULT_LEASE_MS


class Heartbeat(Command, frozen=True, kw_only=True):
    """The worker is still there: its lease runs from now again."""

    id: Key
    lease: Token
    lease_ms: LeaseMs | None = None


class Progress(Command, frozen=True, kw_only=True):
    """How far a running job is; said at once to whoever listens, kept at most every 30 s."""

    id: Key
    lease: Token
    percent: Percent | None = None
    note: Text | None = None


class Complete(Command, frozen=True, kw_only=True):
    """The job is done."""

    id: Key
    lease: Token
    result: Json = NO_RESULT


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed; it is retried while attempts are left, unless `retryable` is false."""

    id: Key
    lease: Token
    error: ErrorText
    retryable: bool = True
    retry_at: Time | None = None


class Snooze(Command, frozen=True, kw_only=True):
    """The worker gives the job back until `run_at`; the attempt does not count."""

    id: Key
    lease: Token
    run_at: Time


class Interrupt(Command, frozen=True, kw_only=True):
    """The worker is shutting down and gives the job back; the attempt does not count."""

    id: Key
    lease: Token


class Cancel(Command, frozen=True, kw_only=True):
    """A waiting job is cancelled at once; a running one is asked to stop, which its worker learns of."""

    id: Key
    reason: Text | None = None


class AckCancel(Command, frozen=True, kw_only=True):
    """The worker agrees to a cancellation that was asked for."""

    id: Key
    lease: Token


class Retry(Command, frozen=True, kw_only=True):
    """A failed, cancelled or timed out job is due again, with at least one attempt more."""

    id: Key


class Rescue(Command, frozen=True, kw_only=True):
    """The service's own: the lease of a running job has run out."""

    id: Key


# Events


class Enqueued(Event, frozen=True, kw_only=True):
    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Json = _EMPTY_OBJECT
    tool: str | None = None
    endpoint: str | None = None
    run_at: int
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS


class Claimed(Event, frozen=True, kw_only=True):
    worker: str
    attempt: int


class Progressed(Event, frozen=True, kw_only=True):
    percent: float | None = None
    note: str | None = None


class Completed(Event, frozen=True, kw_only=True):
    result: Json = NO_RESULT


class AttemptFailed(Event, frozen=True, kw_only=True):
    """The attempt failed, and the job is due again at `next_run_at`."""

    error: str
    next_run_at: int


class Failed(Event, frozen=True, kw_only=True):
    error: str


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


class Rescued(Event, frozen=True, kw_only=True):
    next_run_at: int


# State


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


# Decide


def _enqueue(state: Job | None, command: Enqueue, context: Context, key: str) -> Decision:
    if state is not None:
        raise AlreadyExists(
            f"there is a job {key} already", hint="choose another id, or leave it out", state=state.state
        )
    if bytes(command.payload).lstrip()[:1] != b"{":
        raise Invalid("payload must be an object", path="$.payload")
    event = Enqueued(
        type=command.type,
        name=command.name,
        priority=command.priority,
        queue=command.queue,
        payload=command.payload,
        tool=command.tool,
        endpoint=command.endpoint,
        run_at=max(command.run_at or 0, context.now),
        max_attempts=command.max_attempts,
    )
    return Decision(events=((key, event),))


def _claim(state: None, command: Claim, context: Context, key: None) -> Decision:
    granted: dict[str, Lease | None] = {}
    events: list[tuple[str, Event]] = []
    bytes_left = context.answer_bytes_left
    for job in context.due_jobs(command.queue, command.types, command.limit):
        bytes_left -= _row_bytes(job, command.worker)
        if bytes_left < 0:
            break
        granted[job.id] = Lease(
            job_id=job.id,
            token=context.new_id(),
            worker=command.worker,
            lease_ms=command.lease_ms,
            expires_at=context.now + command.lease_ms,
        )
        events.append((job.id, Claimed(worker=command.worker, attempt=job.attempt + 1)))
    leases = [lease for lease in granted.values() if lease is not None]

    def result(row: Any) -> Any:
        return {"jobs": [_leased_row(row(TABLE, lease.job_id), lease) for lease in leases]}

    return Decision(events=tuple(events), leases=granted, result=result)


def _row_bytes(job: Job, worker: str) -> int:
    texts = (job.id, job.type, job.name, job.queue, job.tool, job.endpoint, job.error, worker)
    # A character takes up to six bytes in JSON: `\u0001`.
    return len(bytes(job.payload)) + 6 * sum(len(text or "") for text in texts) + _ROW_BYTES


def _leased_row(row: msgspec.Raw, lease: Lease) -> msgspec.Raw:
    # The row is JSON already: two more members go in before its closing brace.
    extra = msgspec.json.encode({"lease": lease.token, "lease_expires_at": lease.expires_at})
    return msgspec.Raw(bytes(row)[:-1] + b"," + extra[1:])


def _heartbeat(state: Job | None, command: Heartbeat, context: Context, key: str) -> Decision:
    job, lease = _held(state, command.id, command.lease, context)
    lease_ms = command.lease_ms or lease.lease_ms
    extended = msgspec.structs.replace(lease, lease_ms=lease_ms, expires_at=context.now + lease_ms)
    return Decision(
        leases={key: extended},
        result={"cancel_requested": job.cancel_requested, "lease_expires_at": extended.expires_at},
    )


def _progress(state: Job | None, command: Progress, context: Context, key: str) -> Decision:
    job, _ = _held(state, command.id, command.lease, context)
    said = {"id": key, "percent": command.percent, "note": command.note, "at": context.now}
    due = job.progressed_at is None or context.now - job.progressed_at >= PROGRESS_EVENT_INTERVAL_MS
    event = Progressed(percent=command.percent, note=command.note)
    return Decision(
        events=((key, event),) if due else (),
        notices=(Notice((TABLE, key, "progress"), said),),
        result={"cancel_requested": job.cancel_requested},
    )


def _complete(state: Job | None, command: Complete, context: Context, key: str) -> Decision:
    _held(state, command.id, command.lease, context)
    return Decision(events=((key, Completed(result=command.result)),), leases={key: None})


def _fail(state: Job | None, command: Fail, context: Context, key: str) -> Decision:
    job, _ = _held(state, command.id, command.lease, context)
    event: Event
    if command.retryable and job.attempt < job.max_attempts and not job.cancel_requested:
        next_run_at = (
            max(command.retry_at, context.now)
            if command.retry_at is not None
            else context.now + backoff_ms(job.attempt, context.random())
        )
        event = AttemptFailed(error=command.error, next_run_at=next_run_at)
    else:
        event = Failed(error=command.error)
    return Decision(events=((key, event),), leases={key: None})


def _snooze(state: Job | None, command: Snooze, context: Context, key: str) -> Decision:
    job, _ = _held(state, command.id, command.lease, context)
    event = _given_back(job) or Snoozed(run_at=max(command.run_at, context.now))
    return Decision(events=((key, event),), leases={key: None})


def _interrupt(state: Job | None, command: Interrupt, context: Context, key: str) -> Decision:
    job, _ = _held(state, command.id, command.lease, context)
    return Decision(events=((key, _given_back(job) or Interrupted()),), leases={key: None})


def _cancel(state: Job | None, command: Cancel, context: Context, key: str) -> Decision:
    job = _existing(state, key)
    if job.state in WAITING:
        return Decision(events=((key, Cancelled(reason=command.reason)),))
    if job.state == "running":
        if job.cancel_requested:
            return Decision()
        return Decision(events=((key, CancelRequested(reason=command.reason)),))
    raise RuleViolated("already_finished", f"job {key} is {job.state}", state=job.state)


def _ack_cancel(state: Job | None, command: AckCancel, context: Context, key: str) -> Decision:
    job, _ = _held(state, command.id, command.lease, context)
    if not job.cancel_requested:
        raise RuleViolated(
            "cancel_not_requested", f"nobody asked to cancel job {key}", hint="complete, fail or interrupt it"
        )
    return Decision(events=((key, Cancelled(reason=job.cancel_reason)),), leases={key: None})


def _retry(state: Job | None, command: Retry, context: Context, key: str) -> Decision:
    job = _existing(state, key)
    if job.state not in RETRYABLE:
        raise RuleViolated(
            "not_retryable", f"job {key} is {job.state}; only a finished, unsuccessful one is retried"
        )
    return Decision(events=((key, Retried(max_attempts=max(job.max_attempts, job.attempt + 1))),))


def _rescue(state: Job | None, command: Rescue, context: Context, key: str) -> Decision:
    job = _existing(state, key)
    if job.state != "running":
        return Decision()
    lease = context.lease(key)
    if lease is not None and lease.expires_at > context.now:
        return Decision()
    event: Event
    if job.cancel_requested:
        event = Cancelled(reason=job.cancel_reason)
    elif job.recovery_attempts >= MAXIMUM_RESCUES:
        event = Failed(error=f"lost by its worker {job.recovery_attempts + 1} times")
    else:
        event = Rescued(next_run_at=context.now + RESCUE_DELAY_MS)
    return Decision(events=((key, event),), leases={key: None})


def backoff_ms(attempt: int, random: float) -> int:
    """How long to wait after the given attempt (1, 2, …): doubling, half of it jitter, at most an hour."""
    exponential = BACKOFF_BASE_MS * 2 ** min(attempt - 1, 32) / 2 * (1 + random)
    return int(min(BACKOFF_CAP_MS, exponential))


def _given_back(job: Job) -> Event | None:
    # A worker that lets go of a job it was asked to cancel has agreed to that.
    return Cancelled(reason=job.cancel_reason) if job.cancel_requested else None


def _existing(state: Job | None, key: str) -> Job:
    if state is None:
        raise NotFound(f"there is no job {key}")
    return state


def _held(state: Job | None, key: str, token: str, context: Context) -> tuple[Job, Lease]:
    job = _existing(state, key)
    lease = context.lease(key)
    if job.state != "running" or lease is None or lease.token != token:
        raise RuleViolated(
            "stale_lease",
            f"this lease on job {key} is no longer valid",
            hint="stop working on the job: it was finished, given back, or handed to another worker",
            state=job.state,
        )
    return job, lease


# Evolve


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


def _id_if_given(command: Enqueue) -> str | None:
    return command.id


def _id(command: Any) -> str:
    return str(command.id)


DECIDER = Decider(
    table=TABLE,
    state=Job,
    evolve=evolve,
    events={
        "job.enqueued.v1": Enqueued,
        "job.claimed.v1": Claimed,
        "job.progressed.v1": Progressed,
        "job.completed.v1": Completed,
        "job.attempt_failed.v1": AttemptFailed,
        "job.failed.v1": Failed,
        "job.snoozed.v1": Snoozed,
        "job.interrupted.v1": Interrupted,
        "job.cancel_requested.v1": CancelRequested,
        "job.cancelled.v1": Cancelled,
        "job.retried.v1": Retried,
        "job.rescued.v1": Rescued,
    },
    verbs=(
        Verb(name="enqueue", command=Enqueue, key=_id_if_given, decide=_enqueue),
        Verb(name="claim", command=Claim, key=None, decide=_claim, empty_is_remembered=False),
        Verb(name="heartbeat", command=Heartbeat, key=_id, decide=_heartbeat, remembered=False),
        Verb(name="progress", command=Progress, key=_id, decide=_progress, remembered=False),
        Verb(name="complete", command=Complete, key=_id, decide=_complete),
        Verb(name="fail", command=Fail, key=_id, decide=_fail),
        Verb(name="snooze", command=Snooze, key=_id, decide=_snooze),
        Verb(name="interrupt", command=Interrupt, key=_id, decide=_interrupt),
        Verb(name="cancel", command=Cancel, key=_id, decide=_cancel),
        Verb(name="ack_cancel", command=AckCancel, key=_id, decide=_ack_cancel),
        Verb(name="retry", command=Retry, key=_id, decide=_retry),
        Verb(name="rescue", command=Rescue, key=_id, decide=_rescue, internal=True),
    ),
)
