"""Jobs that no worker has: they are enqueued, changed, cancelled, retried and archived."""

import msgspec

from domain.decider import Context, Decision
from domain.errors import AlreadyExists, Invalid, RuleViolated
from domain.jobs import commands, events
from domain.jobs.dependencies import (
    on_beginning_to_wait,
    on_dependents,
    on_followers,
    on_release,
    still_to_come,
    with_dependents,
)
from domain.jobs.groups import AwaitedGroup
from domain.jobs.retries import stored_retry
from domain.jobs.state import FINISHED, IDLE, RETRYABLE, Job, existing
from domain.jobs.unique import instead, key_of, run_at
from domain.limiting import stored_concurrency, stored_rate
from domain.messages import Event, Json
from domain.rate_limits.job_calls import stored_budget


def enqueue(state: Job | None, command: commands.Enqueue, context: Context, key: str) -> Decision:
    if state is not None and command.debounce is None:
        raise _already_there(state)
    _require_object(command.payload)
    after_group = _after_group(command)
    unique_key = key_of(command)
    decision = None if unique_key is None else instead(command, context)
    # Debounced commands may have the same id each time: that of the job that they replace.
    if state is not None and (decision is None or decision.events[0][0] != key):
        raise _already_there(state)
    if decision is not None:
        return decision
    event = _enqueued(command, unique_key, after_group, context)
    if after_group is None or command.hold:
        return Decision(events=((key, event),))
    met = on_beginning_to_wait(key, after_group, command.on_dependency_failure, context)
    return Decision(events=((key, event), *met))


def _enqueued(
    command: commands.Enqueue, unique_key: str | None, after_group: AwaitedGroup | None, context: Context
) -> events.Enqueued:
    depends_on = tuple(dict.fromkeys(command.depends_on)) if command.depends_on else ()
    # In two steps: for a call with more than 15 keyword arguments, Python makes a dictionary, which is slow.
    event = events.Enqueued(
        type=command.type,
        name=command.name or command.type,
        priority=command.priority,
        queue=command.queue,
        payload=command.payload,
        tool=command.tool,
        endpoint=command.endpoint,
        run_at=run_at(command, context.now),
        max_attempts=command.max_attempts,
        timeout_ms=command.timeout_ms,
        tags=tuple(dict.fromkeys(command.tags)) if command.tags else (),
        unique_key=unique_key,
        depends_on=depends_on,
        waiting_for=still_to_come(depends_on, command.on_dependency_failure, context) if depends_on else (),
        on_dependency_failure=command.on_dependency_failure,
    )
    return msgspec.structs.replace(
        event,
        held=command.hold,
        budget=stored_budget(command.budget),
        retry=stored_retry(command.retry),
        group_id=command.group_id,
        after_group=after_group,
        concurrency=stored_concurrency(command.concurrency, command.type),
        rate=stored_rate(command.rate, command.type),
        result_ttl_ms=command.result_ttl_ms,
    )


def _already_there(job: Job) -> AlreadyExists:
    hint = "choose another id, or leave it out"
    return AlreadyExists(f"there is a job {job.id} already", hint=hint, state=job.state)


def cancel(state: Job | None, command: commands.Cancel, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state in IDLE:
        return Decision(events=with_dependents(job, events.Cancelled(reason=command.reason), context))
    if job.state == "running":
        if job.cancel_requested:
            return Decision()
        return Decision(events=((key, events.CancelRequested(reason=command.reason)),))
    raise RuleViolated(
        "already_finished",
        f"job {key} is {job.state}",
        hint="it stays as it ended; what it has led to is in its result and its history",
        state=job.state,
    )


def retry(state: Job | None, command: commands.Retry, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state not in RETRYABLE:
        raise RuleViolated(
            "not_retryable",
            f"job {key} is {job.state}; only a finished, unsuccessful one is retried",
            hint="one that waits is rescheduled, if it is to run now; one that runs has to end first;"
            " one that is completed is enqueued once more, as another job",
            state=job.state,
        )
    waiting_for: tuple[str, ...] = ()
    if job.waiting_for:
        # The job was cancelled while it waited; its dependencies may have ended since, which it does not
        # know.
        waiting_for = still_to_come(
            job.waiting_for, job.on_dependency_failure, context, before=job.created_position
        )
    met: tuple[tuple[str, Event], ...] = ()
    if job.after_group is not None and job.waits_for_group:
        met = on_beginning_to_wait(key, job.after_group, job.on_dependency_failure, context)
    event = events.Retried(max_attempts=max(job.max_attempts, job.attempt + 1), waiting_for=waiting_for)
    return Decision(events=((key, event), *met))


def hold(state: Job | None, command: commands.Hold, context: Context, key: str) -> Decision:
    job = _idle(state, key)
    return Decision() if job.state == "held" else Decision(events=((key, events.Held()),))


def release(state: Job | None, command: commands.Release, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state != "held":
        raise RuleViolated(
            "not_held",
            f"job {key} is {job.state}, and not held",
            hint="it stays as it is: there is nothing to release",
            state=job.state,
        )
    return Decision(events=((key, events.Released()), *on_release(job, context)))


def reschedule(state: Job | None, command: commands.Reschedule, context: Context, key: str) -> Decision:
    job = _idle(state, key)
    at = max(command.run_at, context.now)
    return Decision() if job.run_at == at else Decision(events=((key, events.Rescheduled(run_at=at)),))


def reprioritize(state: Job | None, command: commands.Reprioritize, context: Context, key: str) -> Decision:
    if _idle(state, key).priority == command.priority:
        return Decision()
    return Decision(events=((key, events.Reprioritized(priority=command.priority)),))


def update_payload(
    state: Job | None, command: commands.UpdatePayload, context: Context, key: str
) -> Decision:
    job = _idle(state, key)
    _require_object(command.payload)
    if job.started_at is not None:
        raise RuleViolated(
            "already_started",
            f"job {key} has begun before, with the payload that it has",
            hint="cancel it, and enqueue another one",
            state=job.state,
        )
    if command.payload == job.payload:
        return Decision()
    return Decision(events=((key, events.PayloadUpdated(payload=command.payload)),))


def archive(state: Job | None, command: commands.Archive, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state not in FINISHED:
        raise RuleViolated(
            "not_finished",
            f"job {key} is {job.state}",
            hint="wait until it has ended, or cancel it",
            state=job.state,
        )
    if context.dependents(key, 1, failed=False):
        raise RuleViolated(
            "awaited", f"other jobs wait for job {key}", hint="retry it, or cancel those that wait for it"
        )
    if job.group_id is not None and context.is_awaited(job.group_id):
        raise RuleViolated(
            "awaited",
            f"other jobs wait for group {job.group_id}, to which job {key} belongs",
            hint="wait until they go on, or cancel them",
        )
    return Decision(events=((key, events.Archived()),))


def resolve_dependents(
    state: Job | None, command: commands.ResolveDependents, context: Context, key: str
) -> Decision:
    job = existing(state, key)
    if job.state not in FINISHED:
        return Decision()
    return Decision(events=tuple(on_dependents(key, context, failed=job.state != "completed")))


def resolve_group(state: None, command: commands.ResolveGroup, context: Context, key: None) -> Decision:
    counts = context.group_counts(command.id)
    return Decision(events=tuple(on_followers(command.id, counts, context)))


def _after_group(command: commands.Enqueue) -> AwaitedGroup | None:
    after = command.after_group
    if after is None:
        return None
    if after.id == command.group_id:
        raise Invalid("a job can not wait for the group that it belongs to", path="$.after_group.id")
    return AwaitedGroup(id=after.id, when=after.when)


def _idle(state: Job | None, key: str) -> Job:
    job = existing(state, key)
    if job.state not in IDLE:
        raise RuleViolated(
            "not_waiting",
            f"job {key} is {job.state}; this is for jobs that wait",
            hint="it stays as it is: what has begun is cancelled, and what has failed is retried",
            state=job.state,
        )
    return job


def _require_object(payload: Json) -> None:
    if bytes(payload).lstrip()[:1] != b"{":
        raise Invalid("payload must be an object", path="$.payload")
