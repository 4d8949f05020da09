"""Cancelling and retrying the jobs that match a filter, a bounded number at a time."""

from collections.abc import Callable

import msgspec

from domain.decider import Context, Decision
from domain.errors import Invalid, Refusal
from domain.jobs.commands import Cancel, CancelMany, JobFilter, Retry, RetryMany
from domain.jobs.events import Cancelled, CancelRequested
from domain.jobs.results import ManyResult
from domain.jobs.state import IDLE, RETRYABLE, STATES, Job, status_of
from domain.jobs.waiting import retry
from domain.messages import Event

# The bytes that one job adds to an answer: its id, and the name of its event.
_BYTES_IN_ANSWER = 256


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that a filter means: every field that is not `None` must hold."""

    states: frozenset[str]
    type: str | None = None
    queue: str | None = None
    tool: str | None = None
    tag: str | None = None
    created_until: int | None = None
    cancel_requested: bool | None = None
    group_id: str | None = None

    def matches(self, job: Job) -> bool:
        """Whether a job is one of them."""
        return (
            job.state in self.states
            and self.type in (None, job.type)
            and self.queue in (None, job.queue)
            and self.tool in (None, job.tool)
            and (self.tag is None or self.tag in job.tags)
            and (self.created_until is None or job.created_at <= self.created_until)
            and self.cancel_requested in (None, job.cancel_requested)
            and self.group_id in (None, job.group_id)
        )


def cancel_many(state: None, command: CancelMany, context: Context, key: None) -> Decision:
    # Running jobs that were already asked to stop are left out, so that the same command again reaches
    # others.
    search = _search(command.filter, IDLE | {"running"}, context, cancel_requested=False)
    return _each(search, command, context, lambda job: _cancel(job, Cancel(id=job.id, reason=command.reason)))


def retry_many(state: None, command: RetryMany, context: Context, key: None) -> Decision:
    search = _search(command.filter, RETRYABLE, context)
    return _each(
        search, command, context, lambda job: retry(job, Retry(id=job.id), context, job.id).events[0][1]
    )


def _cancel(job: Job, command: Cancel) -> Event:
    # The jobs that wait for it are decided about in later commands: there may be any number of them.
    if job.state == "running":
        return CancelRequested(reason=command.reason)
    return Cancelled(reason=command.reason)


def _each(
    search: Search, command: CancelMany | RetryMany, context: Context, decide: Callable[[Job], Event]
) -> Decision:
    limit = min(command.limit, max(0, context.answer_bytes_left) // _BYTES_IN_ANSWER)
    found, remaining = context.matching_jobs(search, limit)
    events: list[tuple[str, Event]] = []
    skipped = []
    for job in found:
        try:
            events.append((job.id, decide(job)))
        except Refusal:
            skipped.append(job.id)
    changed = tuple(job_id for job_id, _ in events)
    result = ManyResult(ids=changed, skipped=tuple(skipped), remaining=remaining)
    return Decision(events=() if command.dry_run else tuple(events), result=result)


def _search(
    wanted: JobFilter, states: frozenset[str], context: Context, cancel_requested: bool | None = None
) -> Search:
    if wanted == JobFilter():
        raise Invalid("a filter says which jobs are meant", hint="name a state, a queue, …", path="$.filter")
    if wanted.status is not None:
        states &= {state for state in STATES if status_of(state) == wanted.status}
    if wanted.state is not None:
        states &= {wanted.state}
    return Search(
        states=states,
        type=wanted.type,
        queue=wanted.queue,
        tool=wanted.tool,
        tag=wanted.tag,
        created_until=None if wanted.older_than_ms is None else context.now - wanted.older_than_ms,
        cancel_requested=cancel_requested,
        group_id=wanted.group_id,
    )
