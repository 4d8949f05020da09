"""The work of the service: jobs by queue, failures of the last hour, and calls that rate limits have left.

These looks are separate from the rest of the health: with more jobs, a look takes longer and the next is
later.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log.damage import Damage
from bus.measures import Few
from bus.writing.jobs.depth import STATES, Depth, TypeInQueue
from bus.writing.writer import Writer
from domain.jobs.workers import SeenWorker
from migrations.connection import open_reader
from ops.health.handling import HandlingWatch, UnhandledType
from ops.health.store import interrupt_after
from projections.jobs.statistics import Failed, failed_since
from projections.rate_limits import CallsLeft, calls_left

logger = logging.getLogger(__name__)

# At most this many queues, and resources of platforms, get figures of their own: clients choose their names.
MAXIMUM_QUEUES = MAXIMUM_RESOURCES = 100
HOUR_MS = 3_600_000
# The most time for the queries of a look; results that take longer are left out.
QUERY_SECONDS = 2.0
# After a look, the watch rests this many times as long as the look took, so that looks take a twentieth of a
# processor at most. With 100,000 unfinished jobs, a look takes some 20 ms.
REST = 20


class WorkLook(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one look.

    `queues` has the queues that had unfinished jobs at any look; `oldest` is the queue with the oldest due
    job. `failed` is `None` if it is not known. `limits` has the calls left, by platform and resource, and
    `unhandled` the types that no worker asks for.
    """

    queues: Mapping[str, Depth] = {}
    oldest: str | None = None
    failed: Failed | None = None
    limits: Mapping[tuple[str, ...], CallsLeft] = {}
    unhandled: tuple[UnhandledType, ...] = ()


class _Read(msgspec.Struct):
    """The results of a look that were read from the store so far."""

    unhandled: tuple[UnhandledType, ...]
    failed: Failed | None = None
    limits: Sequence[CallsLeft] = ()


class WorkWatch:
    """Looks at the work, again and again; any thread may read `state`.

    `writer` answers with the writer, or `None` if the service does not lead. There is a look `every_seconds`,
    or less often.
    """

    def __init__(
        self,
        store: Path,
        damage: Damage,
        *,
        writer: Callable[[], Writer | None],
        now_ms: Callable[[], int],
        every_seconds: float,
        unhandled_after_ms: float,
    ) -> None:
        self._store = store
        self._damage = damage
        self._writer = writer
        self._now_ms = now_ms
        self._every_seconds = every_seconds
        self._queues = Few(MAXIMUM_QUEUES)
        self._resources = Few(MAXIMUM_RESOURCES)
        self._unhandled_after_ms = unhandled_after_ms
        self._handling = HandlingWatch(unhandled_after_ms)
        # The writer whose claims the watch knows. If there is another one, other leaders may have answered
        # claims in between.
        self._watched: Writer | None = None
        self._stopping = threading.Event()
        # The error of the last look, as it was logged; empty if there was none.
        self._amiss = ""
        self.state = WorkLook()

    async def run(self) -> None:
        """Looks again and again, for ever, even if a look fails."""
        try:
            while True:
                began = time.monotonic()
                try:
                    await asyncio.to_thread(self.look)
                except Exception as error:  # nothing awaits this task: its end would go unseen
                    self._tell(error)
                await asyncio.sleep(max(self._every_seconds, REST * (time.monotonic() - began)))
        finally:
            # This ends a look in a thread, which is not waited for.
            self._stopping.set()

    def look(self) -> WorkLook:
        """The findings of a new look; empty if the service does not lead."""
        if (writer := self._writer()) is not self._watched:
            self._watched, self._handling = writer, HandlingWatch(self._unhandled_after_ms)
            self.state = WorkLook()
        if writer is None:
            return self.state
        now = self._now_ms()
        depths, by_type = writer.depths(now)
        read = self._read(now, by_type, writer.seen_workers())
        self.state = WorkLook(
            queues=self._few(depths),
            oldest=_oldest(depths),
            failed=read.failed,
            limits=self._tightest(read.limits),
            unhandled=read.unhandled,
        )
        return self.state

    def _read(self, now: int, by_type: Mapping[TypeInQueue, Depth], seen: Sequence[SeenWorker]) -> "_Read":
        found = _Read(unhandled=self.state.unhandled)
        try:
            with closing(open_reader(self._store, cache_kib=256)) as connection:
                interrupt_after(connection, QUERY_SECONDS, self._stopping)
                # Each result is kept as soon as it is read, even if the next one fails.
                found.unhandled = self._handling.look(by_type, seen, connection, now)
                found.failed = failed_since(connection, now - HOUR_MS)
                found.limits = list(calls_left(connection, now))
            self._amiss = ""
        except apsw.InterruptError:
            pass
        except (apsw.Error, OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            self._damage.note(error, "a look at what there is to do")
            self._tell(error)
        return found

    def _tell(self, error: Exception) -> None:
        # An error that stays is met by each look, but logged only once.
        amiss = f"{type(error).__name__}: {error}"
        if amiss != self._amiss:
            logger.warning("a look at what there is to do met %s", amiss, exc_info=error)
            self._amiss = amiss

    def _few(self, depths: Mapping[str, Depth]) -> dict[str, Depth]:
        """The depths by the names in the report. A queue of the last look stays, even if it is empty now."""
        told = {name: Depth() for name in self.state.queues}
        # At the first look, the queues with the most jobs get names of their own.
        for queue, depth in sorted(depths.items(), key=lambda pair: -pair[1].jobs):
            (name,) = self._queues.named(queue)
            told.setdefault(name, Depth()).add(depth)
        return told

    def _tightest(self, limits: Iterable[CallsLeft]) -> dict[tuple[str, ...], CallsLeft]:
        told: dict[tuple[str, ...], CallsLeft] = {}
        for one in limits:
            names = self._resources.named(one.platform, one.resource)
            if names not in told or one.calls < told[names].calls:
                told[names] = one
        return told


def job_figures(look: WorkLook, now: int) -> dict[str, Any]:
    """The figures of all queues together; the age of the oldest job that is due and not begun is in seconds.

    The failures of the last hour are `None` if they are not known. `unhandled` has the types that no worker
    asks for.
    """
    every = Depth()
    for depth in look.queues.values():
        every.add(depth)
    return {
        **{state: getattr(every, state) for state in STATES},
        "oldest_overdue_seconds": every.overdue_seconds(now),
        "oldest_overdue_queue": look.oldest,
        "failed_attempts_in_an_hour": None if look.failed is None else look.failed.attempts,
        "failed_jobs_in_an_hour": None if look.failed is None else look.failed.jobs,
        "unhandled": look.unhandled,
    }


def _oldest(depths: Mapping[str, Depth]) -> str | None:
    due = [(one.oldest_due_at, name) for name, one in depths.items() if one.oldest_due_at is not None]
    return min(due)[1] if due else None
