"""The commands of jobs."""

from typing import Annotated, Literal

import msgspec

from domain.jobs.events import EMPTY_OBJECT, NO_RESULT
from domain.jobs.groups import GroupOutcome
from domain.jobs.limits import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAXIMUM_ATTEMPTS,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    DEFAULT_TIMEOUT_MS,
    MAXIMUM_DEPENDENCIES,
    MAXIMUM_ERROR_CHARACTERS,
    MAXIMUM_RESULT_TTL_MS,
    MAXIMUM_TAGS,
    MAXIMUM_THROTTLED,
    MAXIMUM_TIMEOUT_MS,
    MAXIMUM_TRACEBACK_CHARACTERS,
    MAXIMUM_WINDOW_MS,
)
from domain.jobs.retries import RetryPolicy
from domain.jobs.state import State, Status
from domain.limiting import Concurrency, Rate
from domain.messages import Command, Json, Key, KeyPart, Name, Text, Time
from domain.rate_limits.messages import Cost, Count

Priority = Annotated[int, msgspec.Meta(ge=1, le=4)]
LeaseMs = Annotated[int, msgspec.Meta(ge=1_000, le=3_600_000)]
ErrorText = Annotated[str, msgspec.Meta(max_length=MAXIMUM_ERROR_CHARACTERS)]
Traceback = Annotated[str, msgspec.Meta(max_length=MAXIMUM_TRACEBACK_CHARACTERS)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Token = Annotated[str, msgspec.Meta(max_length=200)]
TimeoutMs = Annotated[int, msgspec.Meta(ge=1_000, le=MAXIMUM_TIMEOUT_MS)]
ResultTtlMs = Annotated[int, msgspec.Meta(ge=1_000, le=MAXIMUM_RESULT_TTL_MS)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Tags = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=MAXIMUM_TAGS)]


Many = Annotated[int, msgspec.Meta(ge=1, le=1000)]
OnDependencyFailure = Literal["cancel", "wait", "run"]
UniqueScope = Literal["incomplete", "successful", "all", "waiting"]
UniqueKey = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
WindowMs = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_WINDOW_MS)]
OnConflict = Literal["return_existing", "reject", "replace", "preserve_run_at"]


class Unique(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """No new job while another one has this key.

    Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
    """

    key: UniqueKey
    scope: UniqueScope = "incomplete"
    window_ms: WindowMs | None = None
    on_conflict: OnConflict = "return_existing"


class Debounce(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One job for everything that is enqueued with this key, until nothing comes for `wait_ms` milliseconds.

    The job is put off for `max_wait_ms` at most, counted from when it was first enqueued.
    """

    key: UniqueKey
    wait_ms: WindowMs
    max_wait_ms: WindowMs | None = None


class Throttle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """No more than `limit` jobs are enqueued with this key within any `window_ms` milliseconds."""

    key: UniqueKey
    window_ms: WindowMs
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_THROTTLED)] = 1


class CallBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rate limit that a job draws on, and how many calls each attempt makes at most."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    cost: Cost = 1

    def __post_init__(self) -> None:
        # Refused when it is decoded, so that every budget names a limit, whichever command it stands in.
        if self.identifier is not None and self.resource is None:
            raise ValueError("an identifier needs a resource")


class AfterGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The group that a job waits for, and the outcome of the group's jobs that ends the wait."""

    id: Key
    when: GroupOutcome = "all_completed"


class Enqueue(Command, frozen=True, kw_only=True):
    """A new job, with a time-ordered id if none is given. Priorities: 1 low, 2 medium, 3 high, 4 critical.

    Without a `name`, the job is named after its type.

    Each attempt may take `timeout_ms` milliseconds (15 minutes by default). With `hold`, the job waits for
    `release`; with `depends_on`, until those jobs have completed. At most one of `unique`, `debounce` and
    `throttle` may be given; with them, there may be no new job, and the result then names the `existing` one.
    `retry` says when the job is tried again.

    With a `budget`, the job is claimed only while its rate limit, as it was observed, has calls left; with a
    `concurrency`, only while fewer jobs than its limit run with the same key; with a `rate`, only while fewer
    attempts than its limit began with the same key within the window. Without a key, the job's type counts.

    The job belongs to the group `group_id`. With `after_group`, it waits until all jobs of another group have
    completed or ended, or one has failed.

    With `result_ttl_ms`, the job leaves the tables that long after it has completed, as with `archive`.
    """

    type: Name
    name: Name | None = None
    id: Key | None = None
    priority: Priority = DEFAULT_PRIORITY
    queue: Key = DEFAULT_QUEUE
    payload: Json = EMPTY_OBJECT
    tool: Name | None = None
    endpoint: Text | None = None
    run_at: Time | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = DEFAULT_MAXIMUM_ATTEMPTS
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS
    tags: Tags = ()
    unique: Unique | None = None
    depends_on: Annotated[tuple[Key, ...], msgspec.Meta(max_length=MAXIMUM_DEPENDENCIES)] = ()
    on_dependency_failure: OnDependencyFailure = "cancel"
    hold: bool = False
    budget: CallBudget | None = None
    retry: RetryPolicy | None = None
    group_id: Key | None = None
    after_group: AfterGroup | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    result_ttl_ms: ResultTtlMs | None = None


class Claim(Command, frozen=True, kw_only=True):
    """Up to `limit` due jobs of a queue for a worker, each under a lease of `lease_ms` milliseconds.

    Jobs with a budget or with limits are handed out only as far as these allow. Where some have to wait for
    calls, or for the end of a window, the result has `retry_after_ms`: it is of no use to ask for them
    earlier. Where some wait for running jobs to end, the result says so (`waits_for_ends`).

    `host` is the machine that the worker runs on, and `version` the version of its program: both are shown
    wherever workers are listed.
    """

    worker: Name
    queue: Key = DEFAULT_QUEUE
    types: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    lease_ms: LeaseMs = DEFAULT_LEASE_MS
    host: Name | None = None
    version: Name | None = None


class Heartbeat(Command, frozen=True, kw_only=True):
    """The worker still works on the job: its lease is renewed from now on."""

    id: Key
    lease: Token
    lease_ms: LeaseMs | None = None


class Progress(Command, frozen=True, kw_only=True):
    """How far a running job is: published at once to subscribers, and kept at most every 30 s."""

    id: Key
    lease: Token
    percent: Percent | None = None
    note: Text | None = None


class Complete(Command, frozen=True, kw_only=True):
    """The job is done.

    For a job with a budget, `calls` is the number of calls that the attempt made; without it, all of the
    budget's calls count as made.
    """

    id: Key
    lease: Token
    result: Json = NO_RESULT
    calls: Count | None = None


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed; the job is retried while attempts are left, unless `retryable` is false.

    `error` says in a line or so what happened, and `traceback` where, in the form of the worker's language.
    """

    id: Key
    lease: Token
    error: ErrorText
    traceback: Traceback | None = None
    retryable: bool = True
    retry_at: Time | None = None
    calls: Count | None = None


class Snooze(Command, frozen=True, kw_only=True):
    """The worker gives the job back until `run_at`; the attempt does not count."""

    id: Key
    lease: Token
    run_at: Time
    calls: Count | None = None


class Interrupt(Command, frozen=True, kw_only=True):
    """The worker is shutting down and gives the job back; the attempt does not count."""

    id: Key
    lease: Token
    calls: Count | None = None


class Cancel(Command, frozen=True, kw_only=True):
    """A waiting job is cancelled at once; the worker of a running one is asked to stop."""

    id: Key
    reason: Text | None = None


class AckCancel(Command, frozen=True, kw_only=True):
    """The worker agrees to a cancellation that was asked for."""

    id: Key
    lease: Token
    calls: Count | None = None


class Retry(Command, frozen=True, kw_only=True):
    """A failed, cancelled or timed out job is due again, with at least one attempt more."""

    id: Key


class Hold(Command, frozen=True, kw_only=True):
    """A job that no worker has waits until it is released."""

    id: Key


class Release(Command, frozen=True, kw_only=True):
    """A held job goes on: it is due at its `run_at`, or at once if that has passed."""

    id: Key


class Reschedule(Command, frozen=True, kw_only=True):
    """A job that no worker has is due at another time."""

    id: Key
    run_at: Time


class Reprioritize(Command, frozen=True, kw_only=True):
    """A job that no worker has gets another priority."""

    id: Key
    priority: Priority


class UpdatePayload(Command, frozen=True, kw_only=True):
    """A job that never began gets another payload."""

    id: Key
    payload: Json


class Archive(Command, frozen=True, kw_only=True):
    """A finished job leaves the tables, with its attempts; its events stay, and its id is free again."""

    id: Key


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A choice of jobs: they match every field that is given, and at least one must be given."""

    status: Status | None = None
    state: State | None = None
    type: Name | None = None
    queue: Key | None = None
    tool: Name | None = None
    tag: Tag | None = None
    older_than_ms: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)] | None = None
    group_id: Key | None = None


class CancelMany(Command, frozen=True, kw_only=True):
    """Up to `limit` jobs are cancelled as by `cancel`, the oldest first; the result names them.

    The result also says how many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing
    changes.
    """

    filter: JobFilter
    reason: Text | None = None
    limit: Many = 100
    dry_run: bool = False


class RetryMany(Command, frozen=True, kw_only=True):
    """Up to `limit` unsuccessful jobs are retried as by `retry`, the oldest first; the result names them.

    Jobs that depend on a failed one cannot be retried, and are named as `skipped`. The result also says how
    many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing changes.
    """

    filter: JobFilter
    limit: Many = 100
    dry_run: bool = False


class ResolveDependents(Command, frozen=True, kw_only=True):
    """The service's own: a job has ended, and other jobs still wait for it."""

    id: Key


class ResolveGroup(Command, frozen=True, kw_only=True):
    """The service's own: jobs of a group have ended, and other jobs still wait for the group."""

    id: Key


class TimeOut(Command, frozen=True, kw_only=True):
    """The service's own: the attempt of a running job has taken longer than it may."""

    id: Key


class Rescue(Command, frozen=True, kw_only=True):
    """The service's own: the lease of a running job has run out."""

    id: Key
