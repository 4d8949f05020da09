"""Rows, results and answers of `queues`. Made by `make client`."""

import msgspec


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that was paused at least once. Times are milliseconds since the epoch."""

    name: str
    paused: bool
    reason: str | None = None
    paused_at: int | None = None
    updated_at: int
    version: int
    position: int
