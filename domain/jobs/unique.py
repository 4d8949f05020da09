"""Unique keys: which job stands in the way of a new one with the same key, and what happens to both.

A key counts in the whole store, whatever the types and queues. It is looked at when a job is enqueued, and
never again: a job that is retried later may meet a newer one with its key. The scope and the window are those
that the new job asks for:

    waiting      jobs that no worker has: while one runs, one more may wait, for work that came up meanwhile
    incomplete   jobs that are not finished
    successful   those, and the completed ones: one that failed, was cancelled or timed out may be done again
    all          every job that has not been archived

With `window_ms`, only jobs that were enqueued less than so long ago count. Of several, the newest counts.

`debounce` and `throttle` use the same keys. With `debounce`, a job that has not begun is replaced and put
off. With `throttle`, `limit` jobs of the last `window_ms` milliseconds stand in the way.
"""

from collections.abc import Mapping

from domain.decider import Context, Decision
from domain.errors import Invalid, RuleViolated
from domain.jobs.commands import Debounce, Enqueue, Unique
from domain.jobs.events import Replaced
from domain.jobs.results import EnqueueResult
from domain.jobs.retries import stored_retry
from domain.jobs.state import FINISHED, IDLE, STATES, Job
from domain.limiting import limits_of
from domain.rate_limits.job_calls import stored_budget

SCOPES: Mapping[str, frozenset[str]] = {
    "waiting": IDLE,
    "incomplete": STATES - FINISHED,
    "successful": STATES - FINISHED | {"completed"},
    "all": STATES,
}

# The other fields that decide when a job runs, with their defaults.
_TIMES: Mapping[str, object] = {"run_at": None, "depends_on": (), "hold": False, "after_group": None}


def key_of(command: Enqueue) -> str | None:
    """The key of a new job's `unique`, `debounce` or `throttle`; `None` without any of them.

    Raises:
        Invalid: there is more than one of them, or a `debounce` with another field that decides when to run.
    """
    kinds = (command.unique, command.debounce, command.throttle)
    if not any(kinds):
        return None
    asked = [one for one in kinds if one is not None]
    if len(asked) > 1:
        raise Invalid("one of unique, debounce and throttle", hint="leave the others out", path="$")
    for field, nothing in _TIMES.items() if command.debounce is not None else ():
        # The existing job would keep its own value, and this one would be lost without a word.
        if getattr(command, field) != nothing:
            raise Invalid("a debounce says when the job runs", hint=f"leave {field} out", path=f"$.{field}")
    return asked[0].key


def run_at(command: Enqueue, now: int) -> int:
    """When a new job is due."""
    if command.debounce is None:
        return max(command.run_at or 0, now)
    return _put_off(command.debounce, now, now)


def instead(command: Enqueue, context: Context) -> Decision | None:
    """The decision in place of enqueueing a new job, if any; its result names the existing one.

    Raises:
        RuleViolated: a job stands in the way, and `on_conflict` is `reject`.
    """
    if command.unique is not None:
        there = in_the_way(command.unique.key, command.unique.scope, command.unique.window_ms, context)
        return None if there is None else _of_unique(there, command.unique, command, context)
    if command.throttle is not None:
        asked = command.throttle
        found = _newest(asked.key, "all", asked.window_ms, asked.limit, context)
        return Decision(result=EnqueueResult(existing=found[0].id)) if len(found) == asked.limit else None
    if command.debounce is not None:
        found = _newest(command.debounce.key, "incomplete", None, 1, context)
        # A job that has begun is not replaced; the new one comes after it.
        if found and _has_not_begun(found[0]):
            until = _put_off(command.debounce, found[0].created_at, context.now)
            # A due job that can be put off no longer keeps its `run_at`, and so its place before later jobs.
            return _replaced(found[0], command, max(until, min(context.now, found[0].run_at)))
    return None


def in_the_way(key: str, scope: str, window_ms: int | None, context: Context) -> Job | None:
    """The newest job that stands in the way of another one with the key, if any does."""
    found = _newest(key, scope, window_ms, 1, context)
    return found[0] if found else None


def not_unique(job: Job, key: str, hint: str) -> RuleViolated:
    """The refusal of a second job with the key."""
    reason = f"job {job.id} has the unique key {key}"
    return RuleViolated("not_unique", reason, hint=hint, existing=job.id, state=job.state)


def _newest(key: str, scope: str, window_ms: int | None, limit: int, context: Context) -> list[Job]:
    since = 0 if window_ms is None else context.now - window_ms + 1
    return context.unique_jobs(key, SCOPES[scope], since, limit)


def _put_off(debounce: Debounce, created_at: int, now: int) -> int:
    """The time until which a job is put off that was first enqueued at `created_at`; it may be past."""
    until = now + debounce.wait_ms
    return until if debounce.max_wait_ms is None else min(until, created_at + debounce.max_wait_ms)


def _has_not_begun(job: Job) -> bool:
    return job.state in IDLE and job.started_at is None


def _of_unique(job: Job, unique: Unique, command: Enqueue, context: Context) -> Decision:
    if unique.on_conflict == "reject":
        raise not_unique(job, unique.key, "wait for it, or choose another scope, window or on_conflict")
    # A job that a worker has seen is not changed behind its back.
    if unique.on_conflict == "return_existing" or not _has_not_begun(job):
        return Decision(result=EnqueueResult(existing=job.id))
    is_kept = unique.on_conflict == "preserve_run_at"
    return _replaced(job, command, job.run_at if is_kept else max(command.run_at or 0, context.now))


def _replaced(job: Job, command: Enqueue, due_at: int) -> Decision:
    event = Replaced(
        type=command.type,
        name=command.name or command.type,
        priority=command.priority,
        queue=command.queue,
        payload=command.payload,
        tool=command.tool,
        endpoint=command.endpoint,
        run_at=due_at,
        max_attempts=command.max_attempts,
        timeout_ms=command.timeout_ms,
        tags=tuple(dict.fromkeys(command.tags)),
        budget=stored_budget(command.budget),
        retry=stored_retry(command.retry),
        **limits_of(command),
        result_ttl_ms=command.result_ttl_ms,
    )
    return Decision(events=((job.id, event),), result=EnqueueResult(existing=job.id))
