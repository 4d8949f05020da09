"""Retries: the policy that a job may choose, and the delays that follow from it.

Without a policy, the next attempt comes 5 s · 2ⁿ⁻¹ after the n-th one that failed, an hour at most; half of
the delay is random. The bound is applied before the random part: so jobs that failed together do not all come
back at once, not even after the longest delay.
"""

from typing import Annotated

import msgspec

from domain.jobs.limits import (
    BACKOFF_BASE_MS,
    BACKOFF_CAP_MS,
    BACKOFF_FACTOR,
    BACKOFF_JITTER,
    MAXIMUM_BACKOFF_FACTOR,
    MAXIMUM_RETRY_DELAY_MS,
    MAXIMUM_RETRY_DELAYS,
)
from domain.messages import about

DelayMs = Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_RETRY_DELAY_MS)]
GrowingDelayMs = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RETRY_DELAY_MS)]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a job is tried again: after delays that grow by a factor, or after listed delays.

    `jitter` is the share of a delay that is random: by default 0.5 of growing delays, and 0 of listed ones. A
    lost worker costs no attempt, and the job is due again after 5 s; with `crashes_count`, it costs an
    attempt like a failure.
    """

    base_ms: GrowingDelayMs = BACKOFF_BASE_MS
    factor: Annotated[float, msgspec.Meta(ge=1, le=MAXIMUM_BACKOFF_FACTOR)] = BACKOFF_FACTOR
    cap_ms: GrowingDelayMs = BACKOFF_CAP_MS
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    delays_ms: (
        Annotated[tuple[DelayMs, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_RETRY_DELAYS)] | None
    ) = None
    crashes_count: bool = False

    def __post_init__(self) -> None:
        # Refused when it is decoded, whichever command it stands in. A field with its default may always be
        # sent.
        growth = (self.base_ms, self.factor, self.cap_ms)
        if self.delays_ms is not None and growth != (BACKOFF_BASE_MS, BACKOFF_FACTOR, BACKOFF_CAP_MS):
            raise ValueError("either delays_ms, or base_ms, factor and cap_ms")
        # A `cap_ms` that is the default counts as left out: `stored_retry` raises it to a longer `base_ms`.
        if BACKOFF_CAP_MS != self.cap_ms < self.base_ms:
            raise ValueError("cap_ms is at least base_ms")


class JobRetry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """When a job is tried again, as it was accepted once; what it leaves out is as for any job."""

    base_ms: Annotated[int, about("the first delay, in milliseconds; 5,000 where it is left out")] = (
        BACKOFF_BASE_MS
    )
    factor: Annotated[float, about("how many times as long the next one is; 2 where it is left out")] = (
        BACKOFF_FACTOR
    )
    cap_ms: Annotated[int, about("the longest one, in milliseconds; an hour where it is left out")] = (
        BACKOFF_CAP_MS
    )
    jitter: Annotated[
        float | None,
        about("the share that chance decides; where it is left out, 0.5, or 0 with `delays_ms`"),
    ] = None
    delays_ms: Annotated[
        tuple[int, ...] | None, about("the delays themselves, in milliseconds; the last one repeats")
    ] = None
    crashes_count: Annotated[bool, about("whether a lost worker costs an attempt")] = False


ORDINARY = JobRetry()


def stored_retry(asked: RetryPolicy | None) -> JobRetry | None:
    """The policy that a command asks for, as its event keeps it; `None` for the default policy."""
    if asked is None:
        return None
    kept: JobRetry = msgspec.convert(asked, JobRetry, from_attributes=True)
    if kept.cap_ms < kept.base_ms:
        kept = msgspec.structs.replace(kept, cap_ms=kept.base_ms)
    return None if kept == ORDINARY else kept


def crashes_count(policy: JobRetry | None) -> bool:
    """Whether a lost worker costs an attempt."""
    return policy is not None and policy.crashes_count


def delay_ms(policy: JobRetry | None, attempt: int, random: float) -> int:
    """How many milliseconds to wait after the given attempt (1, 2, …); `random` is a number from 0 to 1."""
    policy = policy or ORDINARY
    if policy.delays_ms:
        listed = policy.delays_ms[min(attempt, len(policy.delays_ms)) - 1]
        return int(_by_chance(listed, policy.jitter or 0, random))
    jitter = BACKOFF_JITTER if policy.jitter is None else policy.jitter
    return int(_by_chance(_grown(policy, attempt), jitter, random))


def _by_chance(delay: float, jitter: float, random: float) -> float:
    return delay * (1 - jitter + jitter * random)


def _grown(policy: JobRetry, attempt: int) -> float:
    try:
        return min(policy.cap_ms, policy.base_ms * policy.factor ** (attempt - 1))
    except OverflowError:
        return policy.cap_ms
