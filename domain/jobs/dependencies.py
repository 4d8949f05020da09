"""Jobs that wait for other jobs: what they wait for, and what the end of one does to those that wait for it.

A job is `blocked` until every job of its `depends_on` has completed. When one of them fails, is cancelled
or times out, the blocked job is cancelled, goes on waiting (the other may be retried), or runs all the same:
it says so itself with `on_dependency_failure`. A job that somebody waits for is not archived.

Since a dependency must be there before the job that names it, there are no cycles.
"""

from collections.abc import Iterable

from domain.decider import Context
from domain.errors import RuleViolated
from domain.jobs.events import Cancelled, Completed, DependencyMet, Failed, TimedOut
from domain.jobs.limits import DEPENDENTS_AT_ONCE
from domain.jobs.state import RETRYABLE, TABLE, Job
from domain.messages import Event

_BYTES_IN_ANSWER = 32
_UNSUCCESSFUL = (Failed, Cancelled, TimedOut)


def still_to_come(
    depends_on: Iterable[str], on_failure: str, context: Context, *, before: int | None = None
) -> tuple[str, ...]:
    """Those of the dependencies that have not completed, each once.

    Raises:
        RuleViolated: one is not there, or came (again) at position `before` or later; or one has failed, and
            the job is not to wait nor to run then.
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


def with_dependents(key: str, event: Event, context: Context) -> tuple[tuple[str, Event], ...]:
    """An event of a job and, if it ends the job, what that does to the first of those that wait for it.

    The rest, and what depends on those in turn, follows in later transactions: see `on_dependents`.
    """
    if isinstance(event, Completed):
        return ((key, event), *on_dependents(key, context, failed=False))
    if isinstance(event, _UNSUCCESSFUL):
        return ((key, event), *on_dependents(key, context, failed=True))
    return ((key, event),)


def on_dependents(key: str, context: Context, *, failed: bool) -> Iterable[tuple[str, Event]]:
    """The events of the first hundred of the jobs that wait for one that has ended."""
    # The answer names each event, and shares a message with its neighbours in a batch.
    limit = min(DEPENDENTS_AT_ONCE, max(0, context.answer_bytes_left) // _BYTES_IN_ANSWER)
    for job in context.dependents(key, limit, failed=failed):
        if failed and job.on_dependency_failure == "cancel":
            yield job.id, Cancelled(reason=f"it depends on job {key}, which did not complete")
        else:
            yield job.id, DependencyMet(dependency=key)
