"""Jobs that no worker has: how they come to be, are cancelled, and are tried once more."""

from domain.decider import Context, Decision
from domain.errors import AlreadyExists, Invalid, RuleViolated
from domain.jobs.commands import Cancel, Enqueue, Retry
from domain.jobs.events import Cancelled, CancelRequested, Enqueued, Retried
from domain.jobs.refusals import existing
from domain.jobs.state import RETRYABLE, WAITING, Job


def enqueue(state: Job | None, command: Enqueue, context: Context, key: str) -> Decision:
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


def cancel(state: Job | None, command: Cancel, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state in WAITING:
        return Decision(events=((key, Cancelled(reason=command.reason)),))
    if job.state == "running":
        if job.cancel_requested:
            return Decision()
        return Decision(events=((key, CancelRequested(reason=command.reason)),))
    raise RuleViolated("already_finished", f"job {key} is {job.state}", state=job.state)


def retry(state: Job | None, command: Retry, context: Context, key: str) -> Decision:
    job = existing(state, key)
    if job.state not in RETRYABLE:
        raise RuleViolated(
            "not_retryable", f"job {key} is {job.state}; only a finished, unsuccessful one is retried"
        )
    return Decision(events=((key, Retried(max_attempts=max(job.max_attempts, job.attempt + 1))),))
