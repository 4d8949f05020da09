"""The commands of `schedules`. Made by `make client`."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from hyperpage_client.commands.fields import Key, KeyPart, Name, Text
from hyperpage_client.contract.commands import Command


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


class Concurrency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many jobs with the key may run at once. Without a key, the job's type counts."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many attempts with the key may begin within a window. Without a key, the job's type counts."""

    key: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=86400000)]


class ScheduledUnique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No job is made while another one has the key; without a key, that is the schedule's id.

    Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
    """

    key: Name | None = None
    scope: Literal["incomplete", "successful", "all", "waiting"] = "incomplete"
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None


class ScheduledJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The job to enqueue each time; the fields are those of `jobs.enqueue`."""

    type: Name
    name: Name
    priority: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2
    queue: Key = "default"
    payload: Any = {}
    tool: Name | None = None
    endpoint: Text | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=604800000)] = 900000
    tags: Annotated[
        Sequence[Annotated[str, msgspec.Meta(min_length=1, max_length=100)]], msgspec.Meta(max_length=32)
    ] = ()
    budget: CallBudget | None = None
    retry: RetryPolicy | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    result_ttl_ms: Annotated[int, msgspec.Meta(ge=1000, le=31622400000)] | None = None
    unique: ScheduledUnique | None = None


class SetSchedule(Command, frozen=True, kw_only=True):
    """A schedule as it is from now on: every `every_ms` milliseconds, or by a `cron` expression.

    A cron expression has five fields or is a name for them (`@daily`, `@hourly` …), and is read in the
    `time_zone` (UTC by default).
    """

    command_name: ClassVar[str] = "schedules.set"

    id: Annotated[
        str,
        msgspec.Meta(
            pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=180
        ),
    ]
    job: ScheduledJob
    every_ms: Annotated[int, msgspec.Meta(ge=1000, le=31622400000)] | None = None
    cron: Name | None = None
    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "UTC"
    on_missed: Literal["run_once", "skip"] = "run_once"


class DeleteSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes no more jobs, and is gone. Its jobs stay."""

    command_name: ClassVar[str] = "schedules.delete"

    id: Annotated[
        str,
        msgspec.Meta(
            pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=180
        ),
    ]


class PauseSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes no jobs until it is resumed."""

    command_name: ClassVar[str] = "schedules.pause"

    id: Annotated[
        str,
        msgspec.Meta(
            pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=180
        ),
    ]


class ResumeSchedule(Command, frozen=True, kw_only=True):
    """The schedule makes jobs again, beginning with the next time; those that passed do not count."""

    command_name: ClassVar[str] = "schedules.resume"

    id: Annotated[
        str,
        msgspec.Meta(
            pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=180
        ),
    ]


class TriggerSchedule(Command, frozen=True, kw_only=True):
    """A job is made at once, paused or not; the result has the job's id. The schedule's times stay."""

    command_name: ClassVar[str] = "schedules.trigger"

    id: Annotated[
        str,
        msgspec.Meta(
            pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=180
        ),
    ]
