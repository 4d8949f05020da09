"""What there is to do: jobs by queue, and what failed in the last hour.

Part of each look at the service; it takes longer where there is more, and then it is taken less often.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log.damage import Damage
from bus.writing.jobs.depth import STATES, Depth
from bus.writing.writer import Writer
from migrations.connection import open_reader
from ops.health.store import interrupt_after
from projections.job_statistics import Failed, failed_since

HOUR_MS = 3_600_000
# How long the store may take to say what failed; what takes longer is not told.
QUERY_SECONDS = 2.0
# For how many times as long as a look took, the last one holds: all looks together take a twentieth of a
# processor at most. With 100,000 unfinished jobs, one takes some 20 ms.
REST = 20


class WorkLook(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one look, at a time in milliseconds since the epoch.

    `queues` has those with unfinished jobs, where the service leads; `failed` is None where it is not known.
    """

    at: int = 0
    queues: Mapping[str, Depth] = {}
    failed: Failed | None = None


class WorkWatch:
    """Looks at what there is to do, again and again; by one thread at a time."""

    def __init__(self, store: Path, damage: Damage) -> None:
        self._store = store
        self._damage = damage
        self._last = WorkLook()
        self._next = 0.0

    def look(self, writer: Writer | None, now: int) -> WorkLook:
        """How it is at `now`, or was at the last look, if that took long."""
        began = time.monotonic()
        if began >= self._next:
            queues = {} if writer is None else writer.depth_by_queue(now)
            self._last = WorkLook(at=now, queues=queues, failed=self._failed(now))
            self._next = time.monotonic() + REST * (time.monotonic() - began)
        return self._last

    def _failed(self, now: int) -> Failed | None:
        try:
            with closing(open_reader(self._store, cache_kib=256)) as connection:
                interrupt_after(connection, QUERY_SECONDS, threading.Event())
                return failed_since(connection, now - HOUR_MS)
        except apsw.InterruptError:
            return None
        except (apsw.Error, OSError, UnicodeDecodeError) as error:
            self._damage.note(error, "a look at what failed")
            return None


def job_figures(look: WorkLook, now: int) -> dict[str, Any]:
    """The figures of all queues together; the age of the oldest job that is due and not begun in seconds.

    `failed_attempts` and `failed_jobs` are those of the last hour; None where that is not known.
    """
    every = Depth()
    for depth in look.queues.values():
        every.add(depth)
    due = [(one.oldest_due_at, name) for name, one in look.queues.items() if one.oldest_due_at is not None]
    return {
        **{state: getattr(every, state) for state in STATES},
        "oldest_overdue_seconds": every.overdue_seconds(now),
        "oldest_overdue_queue": min(due)[1] if due else None,
        "failed_attempts": None if look.failed is None else look.failed.attempts,
        "failed_jobs": None if look.failed is None else look.failed.jobs,
    }
