"""The commands of `jobs`. Made by `make client`."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from hyperpage_client.commands.fields import Key, KeyPart, Name, Text, Time
from hyperpage_client.contract.commands import Command


class Unique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No new job while another one has this key.

    Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
    """

    key: Name
    scope: Literal["incomplete", "successful", "all", "waiting"] = "incomplete"
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None
    on_conflict: Literal["return_existing", "reject", "replace", "preserve_run_at"] = "return_existing"


class CallBudget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rate limit that a job draws on, and how many calls each attempt makes at most."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    cost: Annotated[int, msgspec.Meta(ge=1, le=9007199254740991)] = 1


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job is tried again: after delays that grow by a factor, or after listed delays.

    `jitter` is the share of a delay that is random: by default 0.5 of growing delays, and 0 of listed ones. A
    lost worker costs no attempt, and the job is due again after 5 s; with `crashes_count`, it costs an
    attempt like a failure.
    """

    base_ms: Annotated[int, msgspec.Meta(ge=1, le=2678400000)] = 5000
    factor: Annotated[float, msgspec.Meta(ge=1, le=10)] = 2.0
    cap_ms: Annotated[int, msgspec.Meta(ge=1, le=2678400000)] = 3600000
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    delays_ms: (
        Annotated[
            Sequence[Annotated[int, msgspec.Meta(ge=0, le=2678400000)]],
            msgspec.Meta(min_length=1, max_length=100),
        ]
        | None
    ) = None
    crashes_count: bool = False


class AfterGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The group that a job waits for, and the outcome of the group's jobs that ends the wait."""

    id: Key
    when: Literal["all_completed", "all_ended", "one_failed"] = "all_completed"


class Concurrency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many jobs with the key may run at once. Without a key, the job's type counts."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many attempts with the key may begin within a window. Without a key, the job's type counts."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=86400000)]


class Debounce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job for everything that is enqueued with this key, until nothing comes for `wait_ms` milliseconds.

    The job is put off for `max_wait_ms` at most, counted from when it was first enqueued.
    """

    key: Name
    wait_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)]
    max_wait_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None


class Throttle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No more than `limit` jobs are enqueued with this key within any `window_ms` milliseconds."""

    key: Name
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A choice of jobs: they match every field that is given, and at least one must be given."""

    status: (
        Literal["pending", "held", "running", "retrying", "completed", "failed", "cancelled", "timeout"]
        | None
    ) = None
    state: (
        Literal[
            "scheduled",
            "pending",
            "held",
            "blocked",
            "running",
            "retrying",
            "completed",
            "failed",
            "cancelled",
            "timeout",
        ]
        | None
    ) = None
    type: Name | None = None
    queue: Key | None = None
    tool: Name | None = None
    tag: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    older_than_ms: Time | None = None
    group_id: Key | None = None


class AttemptRate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many attempts may begin within a window."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=86400000)]


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

    command_name: ClassVar[str] = "jobs.enqueue"

    type: Name
    name: Name | None = None
    id: Key | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2
    queue: Key = "default"
    payload: Any = {}
    tool: Name | None = None
    endpoint: Text | None = None
    run_at: Time | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=604800000)] = 900000
    tags: Annotated[
        Sequence[Annotated[str, msgspec.Meta(min_length=1, max_length=100)]], msgspec.Meta(max_length=32)
    ] = ()
    unique: Unique | None = None
    depends_on: Annotated[Sequence[Key], msgspec.Meta(max_length=100)] = ()
    on_dependency_failure: Literal["cancel", "wait", "run"] = "cancel"
    hold: bool = False
    budget: CallBudget | None = None
    retry: RetryPolicy | None = None
    group_id: Key | None = None
    after_group: AfterGroup | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    result_ttl_ms: Annotated[int, msgspec.Meta(ge=1000, le=31622400000)] | None = None


class Claim(Command, frozen=True, kw_only=True):
    """Up to `limit` due jobs of a queue for a worker, each under a lease of `lease_ms` milliseconds.

    Jobs with a budget or with limits are handed out only as far as these allow. Where some have to wait for
    calls, or for the end of a window, the result has `retry_after_ms`: it is of no use to ask for them
    earlier. Where some wait for running jobs to end, the result says so (`waits_for_ends`).

    `host` is the machine that the worker runs on, and `version` the version of its program: both are shown
    wherever workers are listed.
    """

    command_name: ClassVar[str] = "jobs.claim"

    worker: Name
    queue: Key = "default"
    types: Annotated[Sequence[Name], msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    lease_ms: Annotated[int, msgspec.Meta(ge=1000, le=3600000)] = 30000
    host: Name | None = None
    version: Name | None = None


class Heartbeat(Command, frozen=True, kw_only=True):
    """The worker still works on the job: its lease is renewed from now on."""

    command_name: ClassVar[str] = "jobs.heartbeat"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    lease_ms: Annotated[int, msgspec.Meta(ge=1000, le=3600000)] | None = None


class Progress(Command, frozen=True, kw_only=True):
    """How far a running job is: published at once to subscribers, and kept at most every 30 s."""

    command_name: ClassVar[str] = "jobs.progress"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    note: Text | None = None


class Complete(Command, frozen=True, kw_only=True):
    """The job is done.

    For a job with a budget, `calls` is the number of calls that the attempt made; without it, all of the
    budget's calls count as made.
    """

    command_name: ClassVar[str] = "jobs.complete"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    result: Any = None
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed; the job is retried while attempts are left, unless `retryable` is false.

    `error` says in a line or so what happened, and `traceback` where, in the form of the worker's language.
    """

    command_name: ClassVar[str] = "jobs.fail"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    error: Annotated[str, msgspec.Meta(max_length=10000)]
    traceback: Annotated[str, msgspec.Meta(max_length=10000)] | None = None
    retryable: bool = True
    retry_at: Time | None = None
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Snooze(Command, frozen=True, kw_only=True):
    """The worker gives the job back until `run_at`; the attempt does not count."""

    command_name: ClassVar[str] = "jobs.snooze"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    run_at: Time
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Interrupt(Command, frozen=True, kw_only=True):
    """The worker is shutting down and gives the job back; the attempt does not count."""

    command_name: ClassVar[str] = "jobs.interrupt"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Cancel(Command, frozen=True, kw_only=True):
    """A waiting job is cancelled at once; the worker of a running one is asked to stop."""

    command_name: ClassVar[str] = "jobs.cancel"

    id: Key
    reason: Text | None = None


class AckCancel(Command, frozen=True, kw_only=True):
    """The worker agrees to a cancellation that was asked for."""

    command_name: ClassVar[str] = "jobs.ack_cancel"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Retry(Command, frozen=True, kw_only=True):
    """A failed, cancelled or timed out job is due again, with at least one attempt more."""

    command_name: ClassVar[str] = "jobs.retry"

    id: Key


class Hold(Command, frozen=True, kw_only=True):
    """A job that no worker has waits until it is released."""

    command_name: ClassVar[str] = "jobs.hold"

    id: Key


class Release(Command, frozen=True, kw_only=True):
    """A held job goes on: it is due at its `run_at`, or at once if that has passed."""

    command_name: ClassVar[str] = "jobs.release"

    id: Key


class Reschedule(Command, frozen=True, kw_only=True):
    """A job that no worker has is due at another time."""

    command_name: ClassVar[str] = "jobs.reschedule"

    id: Key
    run_at: Time


class Reprioritize(Command, frozen=True, kw_only=True):
    """A job that no worker has gets another priority."""

    command_name: ClassVar[str] = "jobs.reprioritize"

    id: Key
    priority: Annotated[int, msgspec.Meta(ge=1, le=4)]


class UpdatePayload(Command, frozen=True, kw_only=True):
    """A job that never began gets another payload."""

    command_name: ClassVar[str] = "jobs.update_payload"

    id: Key
    payload: Any


class Archive(Command, frozen=True, kw_only=True):
    """A finished job leaves the tables, with its attempts; its events stay, and its id is free again."""

    command_name: ClassVar[str] = "jobs.archive"

    id: Key


class CancelMany(Command, frozen=True, kw_only=True):
    """Up to `limit` jobs are cancelled as by `cancel`, the oldest first; the result names them.

    The result also says how many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing
    changes.
    """

    command_name: ClassVar[str] = "jobs.cancel_many"

    filter: JobFilter
    reason: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    dry_run: bool = False


class RetryMany(Command, frozen=True, kw_only=True):
    """Up to `limit` unsuccessful jobs are retried as by `retry`, the oldest first; the result names them.

    Jobs that depend on a failed one cannot be retried, and are named as `skipped`. The result also says how
    many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing changes.
    """

    command_name: ClassVar[str] = "jobs.retry_many"

    filter: JobFilter
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    dry_run: bool = False


class PauseQueue(Command, frozen=True, kw_only=True):
    """No job of the queue is handed out until it is resumed."""

    command_name: ClassVar[str] = "jobs.pause_queue"

    queue: Key
    reason: Text | None = None


class ResumeQueue(Command, frozen=True, kw_only=True):
    """Jobs of the queue are handed out again."""

    command_name: ClassVar[str] = "jobs.resume_queue"

    queue: Key


class LimitQueue(Command, frozen=True, kw_only=True):
    """The limits of the queue from now on; a limit that is left out, or null, does not apply.

    At most `concurrency` of its jobs run at once, and at most `limit` attempts begin within `window_ms`
    milliseconds, counted from now on if the window is another one than before.
    """

    command_name: ClassVar[str] = "jobs.limit_queue"

    queue: Key
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None
    rate: AttemptRate | None = None
