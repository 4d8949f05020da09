"""Attempts: jobs handed to workers under a lease, and the ways in which an attempt ends."""

from typing import Any

import msgspec

from domain.decider import Context, Decision, Due, Lease, Notice
from domain.errors import RuleViolated
from domain.jobs import commands, events
from domain.jobs.dependencies import with_dependents
from domain.jobs.limits import MAXIMUM_RESCUES, PROGRESS_EVENT_INTERVAL_MS, RESCUE_DELAY_MS
from domain.jobs.results import HeartbeatResult, ProgressResult
from domain.jobs.retries import crashes_count, delay_ms
from domain.jobs.state import TABLE, Job, existing
from domain.limiting import CountedRate
from domain.messages import Event
from domain.queues import Queue, queue_of
from domain.rate_limits.job_calls import calls_of, end_of_calls

# A generous size of a row's JSON without its payload and texts.
_ROW_BYTES = 4 * 1024


def claim(state: None, command: commands.Claim, context: Context, key: None) -> Decision:
    granted: dict[str, Lease | None] = {}
    claimed: list[tuple[str, Event]] = []
    bytes_left = context.answer_bytes_left
    context.note_claim(command)
    queue = queue_of(command.queue, context)
    due = _due(queue, command, context)
    for job in due.jobs:
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
        counted = _counted(job, queue)
        claimed.append(
            (job.id, events.Claimed(worker=command.worker, attempt=job.attempt + 1, counted=counted))
        )
    leases = [lease for lease in granted.values() if lease is not None]
    budgets = [(job.id, job.budget) for job in due.jobs if job.id in granted and job.budget is not None]
    # An answer without room for all due jobs names no time to ask again: the rest can be claimed at once.
    wait = _wait(due, context) if len(granted) == len(due.jobs) else {}

    # A `ClaimResult` whose rows are JSON already.
    def result(row: Any) -> Any:
        return {"jobs": [_leased_row(row(TABLE, lease.job_id), lease) for lease in leases], **wait}

    return Decision(events=(*calls_of(budgets), *claimed), leases=granted, result=result)


def _due(queue: Queue | None, command: commands.Claim, context: Context) -> Due:
    """The jobs to hand out, as far as the queue has room for them."""
    if queue is None or (not queue.is_paused and queue.concurrency is None and queue.rate is None):
        return context.due_jobs(command.queue, command.types, command.limit)
    if queue.is_paused:
        # A paused queue answers at once, with no job.
        return Due([])
    room = places = command.limit
    if queue.concurrency is not None:
        room = places = max(0, queue.concurrency - context.running_in(queue.name))
    begins_at: int | None = None
    if queue.rate is not None:
        begins, begins_at = context.rate_room(queue.rate.counted(queue.name), queue.rate.limit)
        room = min(room, begins)
    # One job more than there is room for: if it is found, the answer tells what the queue's jobs wait for.
    due = context.due_jobs(command.queue, command.types, min(command.limit, room + 1))
    if len(due.jobs) <= room:
        return due
    if places <= room:
        return Due(due.jobs[:room], None, waits_for_ends=True)
    return Due(due.jobs[:room], begins_at)


def _counted(job: Job, queue: Queue | None) -> tuple[CountedRate, ...]:
    """The rates that an attempt counts for."""
    counted = () if job.rate is None else (CountedRate(key=job.rate.key, window_ms=job.rate.window_ms),)
    return counted if queue is None or queue.rate is None else (*counted, queue.rate.counted(queue.name))


def _wait(due: Due, context: Context) -> dict[str, Any]:
    wait: dict[str, Any] = {} if due.retry_at is None else {"retry_after_ms": due.retry_at - context.now}
    return wait | ({"waits_for_ends": True} if due.waits_for_ends else {})


def _row_bytes(job: Job, worker: str) -> int:
    texts = (job.id, job.type, job.name, job.queue, job.tool, job.endpoint, job.error, job.unique_key, worker)
    # A character takes up to six bytes in JSON: `\u0001`.
    characters = len("".join(filter(None, (*texts, *job.tags))))
    # Keys are ASCII, and each stands in the row at most twice.
    keys = 2 * sum(len(one) + 3 for one in job.depends_on) if job.depends_on else 0
    return len(job.payload) + keys + 6 * characters + _ROW_BYTES


def _leased_row(row: msgspec.Raw, lease: Lease) -> msgspec.Raw:
    # The row is JSON already: two more members go in before its closing brace.
    extra = msgspec.json.encode({"lease": lease.token, "lease_expires_at": lease.expires_at})
    return msgspec.Raw(bytes(row)[:-1] + b"," + extra[1:])


def heartbeat(state: Job | None, command: commands.Heartbeat, context: Context, key: str) -> Decision:
    job, lease = _leased(state, command.id, command.lease, context)
    lease_ms = command.lease_ms or lease.lease_ms
    extended = msgspec.structs.replace(lease, lease_ms=lease_ms, expires_at=context.now + lease_ms)
    return Decision(
        leases={key: extended},
        result=HeartbeatResult(cancel_requested=job.cancel_requested, lease_expires_at=extended.expires_at),
    )


def progress(state: Job | None, command: commands.Progress, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    said = {"id": key, "percent": command.percent, "note": command.note, "at": context.now}
    due = job.progressed_at is None or context.now - job.progressed_at >= PROGRESS_EVENT_INTERVAL_MS
    event = events.Progressed(percent=command.percent, note=command.note)
    return Decision(
        events=((key, event),) if due else (),
        notices=(Notice((TABLE, key, "progress"), said),),
        result=ProgressResult(cancel_requested=job.cancel_requested),
    )


def complete(state: Job | None, command: commands.Complete, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    return _ends(job, events.Completed(result=command.result), context, command.calls)


def fail(state: Job | None, command: commands.Fail, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    event: Event
    if command.retryable and job.attempt < job.max_attempts and not job.cancel_requested:
        next_run_at = (
            max(command.retry_at, context.now)
            if command.retry_at is not None
            else _tried_again_at(job, context)
        )
        event = events.AttemptFailed(
            error=command.error, traceback=command.traceback, next_run_at=next_run_at
        )
    else:
        event = events.Failed(error=command.error, traceback=command.traceback)
    return _ends(job, event, context, command.calls)


def snooze(state: Job | None, command: commands.Snooze, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    event = _given_back(job) or events.Snoozed(run_at=max(command.run_at, context.now))
    return _ends(job, event, context, command.calls)


def interrupt(state: Job | None, command: commands.Interrupt, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    return _ends(job, _given_back(job) or events.Interrupted(), context, command.calls)


def ack_cancel(state: Job | None, command: commands.AckCancel, context: Context, key: str) -> Decision:
    job, _ = _leased(state, command.id, command.lease, context)
    if not job.cancel_requested:
        raise RuleViolated(
            "cancel_not_requested", f"nobody asked to cancel job {key}", hint="complete, fail or interrupt it"
        )
    return _ends(job, events.Cancelled(reason=job.cancel_reason), context, command.calls)


def rescue(state: Job | None, command: commands.Rescue, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state != "running":
        return Decision()
    lease = context.lease(key)
    if lease is not None and lease.expires_at > context.now:
        return Decision()
    event: Event
    if job.cancel_requested:
        event = events.Cancelled(reason=job.cancel_reason)
    elif job.recovery_attempts >= MAXIMUM_RESCUES:
        event = events.Failed(error=_set_aside(job.recovery_attempts + 1))
    elif not crashes_count(job.retry):
        event = events.Rescued(next_run_at=context.now + RESCUE_DELAY_MS, costs_attempt=False)
    elif job.attempt < job.max_attempts:
        event = events.Rescued(next_run_at=_tried_again_at(job, context))
    else:
        event = events.Failed(error="its worker was lost, which counts, and no attempt is left")
    return _ends(job, event, context)


def _set_aside(losses: int) -> str:
    return (
        f"set aside, since {losses} workers were lost while they had it: see what it does to them"
        " (their memory, say), then retry or archive it"
    )


def time_out(state: Job | None, command: commands.TimeOut, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state != "running" or job.deadline_at is None or context.now < job.deadline_at:
        return Decision()
    error = f"the attempt took longer than {job.timeout_ms} ms"
    event: Event
    if job.cancel_requested:
        event = events.Cancelled(reason=job.cancel_reason)
    elif job.attempt < job.max_attempts:
        event = events.AttemptTimedOut(error=error, next_run_at=_tried_again_at(job, context))
    else:
        event = events.TimedOut(error=error)
    return _ends(job, event, context)


def _tried_again_at(job: Job, context: Context) -> int:
    return context.now + delay_ms(job.retry, job.attempt, context.random())


def _leased(state: Job | None, key: str, token: str, context: Context) -> tuple[Job, Lease]:
    """The running job of a command, with its lease, whose token the command has.

    Raises:
        NotFound: there is no such job.
        RuleViolated: the lease has another token, or the job has no lease.
    """
    job = existing(state, key)
    lease = context.lease(key)
    if job.state != "running" or lease is None or lease.token != token:
        raise RuleViolated(
            "stale_lease",
            f"this lease on job {key} is no longer valid",
            hint="stop working on the job: it was finished, given back, or handed to another worker",
            state=job.state,
        )
    return job, lease


def _ends(job: Job, event: Event, context: Context, calls: int | None = None) -> Decision:
    """The end of an attempt, of its lease and of the calls set aside for it, of which `calls` were made."""
    ended = end_of_calls(job.id, job.budget, calls, context)
    return Decision(events=(*ended, *with_dependents(job, event, context)), leases={job.id: None})


def _given_back(job: Job) -> Event | None:
    # A worker that gives back a job whose cancellation was requested agrees to the cancellation.
    return events.Cancelled(reason=job.cancel_reason) if job.cancel_requested else None
