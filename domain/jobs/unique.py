"""One job for one key: which job stands in the way of a new one, and what becomes of both.

A key counts in the whole store, whatever the types and queues. It is looked at when a job is enqueued, and
never again: a job that is retried later may meet a newer one with its key. The scope and the window are those
that the new job asks for:

    incomplete   jobs that are not finished
    successful   those, and the completed ones: one that failed, was cancelled or timed out may be done again
    all          every job that has not been archived

With `window_ms`, only jobs that were enqueued less than so long ago count. Of several, the newest counts.
"""

from collections.abc import Mapping

from domain.decider import Context, Decision
from domain.errors import RuleViolated
from domain.jobs.commands import Enqueue, Unique
from domain.jobs.events import Replaced
from domain.jobs.results import EnqueueResult
from domain.jobs.retries import stored_retry
from domain.jobs.state import FINISHED, IDLE, STATES, Job
from domain.rate_limits.job_calls import stored_budget

SCOPES: Mapping[str, frozenset[str]] = {
    "incomplete": STATES - FINISHED,
    "successful": STATES - FINISHED | {"completed"},
    "all": STATES,
}


def in_the_way(unique: Unique, context: Context) -> Job | None:
    """The job because of which there is no new one."""
    since = 0 if unique.window_ms is None else context.now - unique.window_ms + 1
    found: Job | None = context.unique_job(unique.key, SCOPES[unique.scope], since)
    return found


def instead(job: Job, unique: Unique, command: Enqueue, context: Context) -> Decision:
    """The decision that takes the place of enqueueing; its result names the job that is there.

    Raises:
        RuleViolated: `on_conflict` says so.
    """
    if unique.on_conflict == "reject":
        raise RuleViolated(
            "not_unique",
            f"job {job.id} has the unique key {unique.key}",
            hint="wait for it, or choose another scope, window or on_conflict",
            existing=job.id,
            state=job.state,
        )
    result = EnqueueResult(existing=job.id)
    # A job that a worker has seen is not changed behind its back.
    if unique.on_conflict == "return_existing" or job.state not in IDLE or job.started_at is not None:
        return Decision(result=result)
    event = Replaced(
        type=command.type,
        name=command.name or command.type,
        priority=command.priority,
        queue=command.queue,
        payload=command.payload,
        tool=command.tool,
        endpoint=command.endpoint,
        run_at=job.run_at
        if unique.on_conflict == "preserve_run_at"
        else max(command.run_at or 0, context.now),
        max_attempts=command.max_attempts,
        timeout_ms=command.timeout_ms,
        tags=tuple(dict.fromkeys(command.tags)),
        budget=stored_budget(command.budget),
        retry=stored_retry(command.retry),
    )
    return Decision(events=((job.id, event),), result=result)
