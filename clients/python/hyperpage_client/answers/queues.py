"""Rows, results and answers of `queues`. Made by `make client`."""

import msgspec


class QueueRate(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of a queue, as it was accepted once."""

    limit: int
    window_ms: int


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that was paused or limited at least once. Times are milliseconds since the epoch."""

    name: str
    paused: bool
    reason: str | None = None
    paused_at: int | None = None
    updated_at: int
    version: int
    position: int
    concurrency: int | None = None
    rate: QueueRate | None = None
