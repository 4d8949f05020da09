"""The times of schedules: the only module that computes which one comes next.

Even if times were missed, the next one is later than the present, and an interval stays in step.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec


class CronTime(Protocol):
    """The first time of a cron expression after `at`, or the last one up to it; `None` if there is none."""

    def __call__(self, expression: str, time_zone: str, at: int, *, before: bool = False) -> int | None: ...


class Times(msgspec.Struct, frozen=True, gc=False):
    """An interval in milliseconds, or a cron expression and its time zone."""

    every_ms: int | None
    cron: str | None
    time_zone: str


def next_time(times: Times, planned: int | None, now: int, cron_time: CronTime) -> int | None:
    """The first time after the present, where the `planned` one was to come next; `None` if none is left."""
    if times.every_ms is None:
        assert times.cron is not None
        return cron_time(times.cron, times.time_zone, now)
    if planned is None:
        return now + times.every_ms
    if planned > now:
        return planned
    # However late it is, the next time is in step with those before.
    return last_due(times, planned, now, cron_time) + times.every_ms


def last_due(times: Times, planned: int, now: int, cron_time: CronTime) -> int:
    """The last time that has come: computed for an interval, looked up for a cron expression."""
    if times.every_ms is not None:
        return planned + (now - planned) // times.every_ms * times.every_ms
    assert times.cron is not None
    last = cron_time(times.cron, times.time_zone, now, before=True)
    return planned if last is None else max(last, planned)


def next_times(
    times: Times, planned: int | None, now: int, cron_time: CronTime, *, paused: bool
) -> Iterator[int]:
    """The times at which it runs from now on, the `planned` one first; if `paused`, as if resumed now."""
    at = next_time(times, planned, now, cron_time) if paused else planned
    while at is not None:
        yield at
        at = next_time(times, at, max(at, now), cron_time)
