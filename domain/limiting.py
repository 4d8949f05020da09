"""How many jobs of a key run at once, and how many attempts begin within a window.

    concurrency   at most `limit` jobs with the key run at once; without a `limit`, the key is for turns alone
    rate          at most `limit` attempts begin in any `window_ms` milliseconds

Each job keeps to its own limit. All jobs with its key count against that, whatever limits they have; of
rates, only jobs with a window of the same length. A queue may have both limits, for all of its jobs.

Jobs that are due take turns by the key of their concurrency (see `bus.writing.jobs.turns`).
"""

from typing import Annotated, Any

import msgspec

from domain.messages import about

MAXIMUM_CONCURRENCY = 10_000
MAXIMUM_RATE = 10_000
MAXIMUM_RATE_WINDOW_MS = 86_400_000

LimitKey = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ConcurrencyLimit = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_CONCURRENCY)]
Begins = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RATE)]
RateWindowMs = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RATE_WINDOW_MS)]


class Concurrency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many jobs with the key may run at once. Without a key, the job's type counts."""

    key: LimitKey | None = None
    limit: ConcurrencyLimit | None = None


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many attempts with the key may begin within a window. Without a key, the job's type counts."""

    key: LimitKey | None = None
    limit: Begins
    window_ms: RateWindowMs


class JobConcurrency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The concurrency of a job, as it was accepted once."""

    key: Annotated[str, about("whose jobs are counted together, and take turns with others")]
    limit: Annotated[int | None, about("how many of them may run at once, with this one")] = None


class JobRate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The rate of a job, as it was accepted once."""

    key: Annotated[str, about("whose attempts are counted together")]
    limit: Annotated[int, about("how many of them may begin within the window")]
    window_ms: Annotated[int, about("how long that is")]


class CountedRate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the begin of an attempt counts for: the rate of a key, or that of a queue."""

    key: str | None = None
    queue: str | None = None
    window_ms: int


def stored_concurrency(asked: Concurrency | None, job_type: str) -> JobConcurrency | None:
    """The concurrency that a command asks for, as its event keeps it."""
    return None if asked is None else JobConcurrency(key=asked.key or job_type, limit=asked.limit)


def stored_rate(asked: Rate | None, job_type: str) -> JobRate | None:
    """The rate that a command asks for, as its event keeps it."""
    if asked is None:
        return None
    return JobRate(key=asked.key or job_type, limit=asked.limit, window_ms=asked.window_ms)


def limits_of(asked: Any) -> dict[str, Any]:
    """The limits that a command, or a schedule's job, asks for, as events keep them."""
    return {
        "concurrency": stored_concurrency(asked.concurrency, asked.type),
        "rate": stored_rate(asked.rate, asked.type),
    }


def limit_keys(asked: Any) -> tuple[str, ...]:
    """The keys of the limits that a command asks for. Jobs with the same key take places from each other."""
    return tuple(one.key or asked.type for one in (asked.concurrency, asked.rate) if one is not None)
