"""Rows, results and answers of many tables. Made by `make client`."""

import msgspec


class JobBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that a job draws on, as it was accepted once; what it leaves out is not said."""

    platform: str
    resource: str | None = None
    identifier: str | None = None
    cost: int = 1


class JobRetry(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is tried again, as it was accepted once; what it leaves out is as for any job."""

    base_ms: int = 5000
    factor: float = 2.0
    cap_ms: int = 3600000
    jitter: float | None = None
    delays_ms: tuple[int, ...] | None = None
    crashes_count: bool = False


class JobConcurrency(msgspec.Struct, frozen=True, kw_only=True):
    """The concurrency of a job, as it was accepted once."""

    key: str
    limit: int | None = None


class JobRate(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of a job, as it was accepted once."""

    key: str
    limit: int
    window_ms: int


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are."""

    count: int
