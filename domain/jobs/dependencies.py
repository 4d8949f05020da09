"""Jobs that wait for other jobs: what they wait for, and what the end of one does to those that wait for it.

A job is `blocked` until every job of its `depends_on` has completed. When one of them fails, is cancelled or
times out, the blocked job's `on_dependency_failure` decides: it is cancelled, goes on waiting (the other may
be retried), or runs all the same. A job that another job waits for is not archived.

Since a dependency must be there before the job that names it, there are no cycles of dependencies.

A job may also wait for a whole group (`domain.jobs.groups`). The jobs of a group are counted by how they
ended, so that the end of one costs the same however many there are. A held job that waits for a group is
decided about when it is released. No job of a group that another job waits for is archived, since it would
count no more.
"""

from collections.abc import Iterable

from domain.decider import Context
from domain.errors import RuleViolated
from domain.jobs.events import Cancelled, Completed, DependencyMet, Failed, GroupMet, TimedOut
from domain.jobs.groups import AwaitedGroup, GroupCounts, verdict
from domain.jobs.limits import DEPENDENTS_AT_ONCE
from domain.jobs.state import RETRYABLE, TABLE, Job
from domain.messages import Event

_BYTES_IN_ANSWER = 32
_UNSUCCESSFUL = (Failed, Cancelled, TimedOut)


def still_to_come(
    depends_on: Iterable[str], on_failure: str, context: Context, *, before: int | None = None
) -> tuple[str, ...]:
    """The dependencies that a job has to wait for, each once.

    Raises:
        RuleViolated: a dependency is not there, or was enqueued (again) at position `before` or later; or it
            has failed, and `on_failure` says that the job is cancelled then.
    """
    waiting_for = []
    for job_id in dict.fromkeys(depends_on):
        job: Job | None = context.state(TABLE, job_id)
        if job is None or (before is not None and job.created_position >= before):
            raise RuleViolated(
                "unknown_dependency",
                f"there is no job {job_id} to depend on",
                hint="enqueue it first; one that is archived is gone",
                dependency=job_id,
            )
        if job.state == "completed" or (job.state in RETRYABLE and on_failure == "run"):
            continue
        if job.state in RETRYABLE and on_failure == "cancel":
            raise RuleViolated(
                "dependency_failed",
                f"job {job_id}, to depend on, is {job.state}",
                hint="retry it first, or choose another on_dependency_failure",
                dependency=job_id,
                state=job.state,
            )
        waiting_for.append(job_id)
    return tuple(waiting_for)


def with_dependents(job: Job, event: Event, context: Context) -> tuple[tuple[str, Event], ...]:
    """An event of a job and, if it ends the job, the events of the first jobs that wait for it.

    The other waiting jobs, and those that wait for these in turn, follow in later transactions: see
    `on_dependents`.
    """
    if not isinstance(event, (Completed, *_UNSUCCESSFUL)):
        return ((job.id, event),)
    failed = not isinstance(event, Completed)
    dependents = tuple(on_dependents(job.id, context, failed=failed))
    followers: Iterable[tuple[str, Event]] = ()
    if job.group_id is not None and context.is_awaited(job.group_id):
        ended = context.group_counts(job.group_id).moved(job.state, "failed" if failed else "completed")
        cancelled = {key for key, one in dependents if isinstance(one, Cancelled)}
        followers = (
            one
            for one in on_followers(job.group_id, ended, context, beside=len(dependents))
            if one[0] not in cancelled
        )
    return ((job.id, event), *dependents, *followers)


def on_followers(
    group_id: str, counts: GroupCounts, context: Context, *, beside: int = 0
) -> Iterable[tuple[str, Event]]:
    """The events of the first hundred jobs that wait for a group with these counts and no longer have to.

    They stand in an answer with `beside` other events.
    """
    for job in context.followers(group_id, counts, _at_once(context) - beside):
        awaited = job.after_group
        if verdict(awaited.when, job.on_dependency_failure, counts) == "cancel":
            yield job.id, Cancelled(reason=_in_vain(awaited))
        else:
            yield job.id, GroupMet(group=group_id)


def on_beginning_to_wait(
    key: str, awaited: AwaitedGroup, on_failure: str, context: Context
) -> tuple[tuple[str, Event], ...]:
    """The event of a job that begins to wait for a group, if it may go on at once; else none.

    Raises:
        RuleViolated: the job would wait in vain, and `on_failure` says that it is cancelled then.
    """
    match verdict(awaited.when, on_failure, context.group_counts(awaited.id)):
        case "cancel":
            raise RuleViolated(
                "dependency_failed",
                _in_vain(awaited),
                hint="retry what has failed, or choose another on_dependency_failure",
                group=awaited.id,
            )
        case "go_on":
            return ((key, GroupMet(group=awaited.id)),)
    return ()


def on_release(job: Job, context: Context) -> tuple[tuple[str, Event], ...]:
    """The events that follow at once when a job is released that waits for a group."""
    awaited = job.after_group
    if awaited is None or awaited.met_at is not None:
        return ()
    try:
        return on_beginning_to_wait(job.id, awaited, job.on_dependency_failure, context)
    except RuleViolated:
        return with_dependents(job, Cancelled(reason=_in_vain(awaited)), context)


def _in_vain(awaited: AwaitedGroup) -> str:
    if awaited.when == "one_failed":
        return f"all jobs of group {awaited.id}, which it waits for, have completed"
    return f"a job of group {awaited.id}, which it waits for, did not complete"


def _at_once(context: Context) -> int:
    """How many waiting jobs are decided about in one command."""
    # The answer names each event, and shares a message with the other answers of its batch.
    return min(DEPENDENTS_AT_ONCE, max(0, context.answer_bytes_left) // _BYTES_IN_ANSWER)


def on_dependents(key: str, context: Context, *, failed: bool) -> Iterable[tuple[str, Event]]:
    """The events of the first hundred jobs that wait for a job that has ended."""
    for job in context.dependents(key, _at_once(context), failed=failed):
        if failed and job.on_dependency_failure == "cancel":
            yield job.id, Cancelled(reason=f"it depends on job {key}, which did not complete")
        else:
            yield job.id, DependencyMet(dependency=key)
