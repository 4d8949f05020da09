"""The commands of `jobs`. Made by `make client`."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from hyperpage_client.commands.fields import Key, KeyPart, Name, Text, Time
from hyperpage_client.contract.commands import Command


class Unique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No second job with this key, as far as the scope goes and, if there is a window, as it is long."""

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
    """When a job is tried again: delays that grow by a factor, or a list of them.

    `jitter` is the share of a delay that chance decides: half of those that grow, nothing of a list, unless
    it is said. A worker that is lost costs no attempt, and the job is due again after 5 s; with
    `crashes_count`, that is an attempt like one that failed.
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
    """The group that a job waits for, and what its jobs have to come to."""

    id: Key
    when: Literal["all_completed", "all_ended", "one_failed"] = "all_completed"


class Concurrency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many jobs with the key, which is the job's type where it is left out, may run at once."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many attempts of jobs with the key, or with the job's type, may begin within a window."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=86400000)]


class Debounce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job for all that is enqueued with this key until nothing came for `wait_ms` milliseconds.

    It is not put off for longer than `max_wait_ms` after it was enqueued first.
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
    """Jobs by what they are; everything that is named must hold, and something must be named."""

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

    It is called as its type is, unless it has a `name`.

    Each attempt may take `timeout_ms` milliseconds (15 minutes by default). With `hold`, the job waits for
    `release`; with `depends_on`, until those jobs have completed. With `unique`, `debounce` or `throttle`, of
    which there is one at most, there may be no new job: the result then names the `existing` one. `retry`
    says when it is tried again.

    With a `budget`, it is claimed only while the rate limit, as it was observed, has calls left for it; with
    a `concurrency`, while fewer jobs with its key run; with a `rate`, while fewer attempts with its key began
    within the window. Without a key, that is the type.

    It belongs to the group `group_id`. With `after_group`, it waits until all jobs of another group have
    completed or ended, or one has failed.

    With `result_ttl_ms`, it leaves the tables so long after it has completed, as with `archive`.
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

    Jobs with a budget or with limits are among them as far as these let them through. Where some have to
    wait for calls, or for the end of a window, the result has `retry_after_ms`: before that, it is not worth
    asking for them again. Where they wait for jobs to end, it says so (`waits_for_ends`).

    `host` is the machine that the worker runs on, and `version` that of its program: whoever looks at the
    workers sees them.
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
    """The worker is still there: its lease runs from now again."""

    command_name: ClassVar[str] = "jobs.heartbeat"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    lease_ms: Annotated[int, msgspec.Meta(ge=1000, le=3600000)] | None = None


class Progress(Command, frozen=True, kw_only=True):
    """How far a running job is; said at once to whoever listens, kept at most every 30 s."""

    command_name: ClassVar[str] = "jobs.progress"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    note: Text | None = None


class Complete(Command, frozen=True, kw_only=True):
    """The job is done.

    Of a job with a budget, `calls` is how many calls the attempt made; where it is left out, all of them.
    """

    command_name: ClassVar[str] = "jobs.complete"

    id: Key
    lease: Annotated[str, msgspec.Meta(max_length=200)]
    result: Any = None
    calls: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed; it is retried while attempts are left, unless `retryable` is false.

    `error` says what happened, in a line or so, and `traceback` where, as the worker's language writes it.
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
    """A waiting job is cancelled at once; a running one is asked to stop, which its worker learns of."""

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

    It says how many are `remaining`, counting 10,000 at most. With `dry_run`, nothing happens.
    """

    command_name: ClassVar[str] = "jobs.cancel_many"

    filter: JobFilter
    reason: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    dry_run: bool = False


class RetryMany(Command, frozen=True, kw_only=True):
    """Up to `limit` unsuccessful jobs are retried as by `retry`, the oldest first; the result names them.

    Those that cannot be are `skipped`, since they depend on what has failed. It says how many are
    `remaining`, counting 10,000 at most. With `dry_run`, nothing happens.
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
    """The limits of the queue, from now on: what is left out, or null, is not limited.

    At most `concurrency` of its jobs run at once, and at most `limit` attempts begin within `window_ms`
    milliseconds, counted from now on where that is another window than before.
    """

    command_name: ClassVar[str] = "jobs.limit_queue"

    queue: Key
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None
    rate: AttemptRate | None = None
