"""When a worker claims jobs: when an event says that one is due, and at every poll.

Live events are hints. A lost one costs time, until the next poll; one too many costs an empty claim, for
which nothing is committed.
"""

import asyncio
import bisect
import logging
import random
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Self

import msgspec
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.contract.subjects import BusNames, split_stream

# Changes that make a job due, now or at a time that the event has.
MAKE_DUE = (
    "enqueued",
    "replaced",
    "released",
    "retried",
    "dependency_met",
    "group_met",
    "interrupted",
    "snoozed",
    "rescheduled",
    "rescued",
    "attempt_failed",
    "attempt_timed_out",
)
# Ends of attempts of which no other change tells: a worker that waits for ends listens to these, too.
ENDS = ("completed", "failed", "cancelled")
# All changes that may end an attempt, which frees its place in each limit that it counted for.
FREE_A_PLACE = frozenset(
    {*ENDS, "timed_out", "attempt_failed", "attempt_timed_out", "rescued", "snoozed", "interrupted"}
)
# Changes that the worker that has the job should look into.
CONCERN_RUNNING = frozenset({"cancel_requested", "rescued", "attempt_timed_out", "timed_out"})
# The pause after an empty claim, whichever events come. Otherwise a hundred workers on one busy queue would
# ask a hundred times for each job that one of them gets.
EMPTY_PAUSE_SECONDS = 0.05
# How many due times are kept, the earliest ones; polls find the other jobs.
MAXIMUM_TIMES = 1_000

logger = logging.getLogger(__name__)


class _Data(msgspec.Struct):
    """The parts of an event's data that are needed; a payload is not even decoded."""

    queue: str | None = None
    type: str | None = None
    run_at: int | None = None
    next_run_at: int | None = None
    held: bool = False
    waiting_for: tuple[str, ...] = ()


class _Event(msgspec.Struct):
    type: str
    subject: str
    time: datetime
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode


class WakeUps:
    """Says when to claim from a queue; used with `async with`, in its loop.

    `is_due` is whether to claim now, and `wake` is called when that may have changed. `concern` is called
    with the id of a job when an event of it came that its worker should look into.
    """

    def __init__(
        self,
        connection: ClientConnection,
        names: BusNames,
        *,
        queue: str,
        types: Collection[str],
        poll_seconds: float,
        wake: Callable[[], None],
        concern: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._names = names
        self._queue = queue
        self._types = frozenset(types)
        self._poll_seconds = poll_seconds
        self._wake = wake
        self._concern = concern
        self._loop = asyncio.get_running_loop()
        self._subscriptions: list[Subscription] = []
        # The times at which jobs are due, as far as events told; by the loop's clock, in order.
        self._times: list[float] = []
        self._next_poll = self._loop.time()
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._hears_ends = False
        # Whether jobs of ours wait for others to end, as the last claim said.
        self._waits_for_ends = False
        # Whether an attempt has ended since the last claim was sent, which may have been decided before.
        self._heard_an_end = False

    async def __aenter__(self) -> Self:
        names = self._names
        changes = (*MAKE_DUE, *CONCERN_RUNNING.difference(MAKE_DUE))
        subjects = [names.changes("jobs", change) for change in changes]
        queue = f"queues/{self._queue}"
        subjects += [names.event(queue, f"queue.{change}.v1") for change in ("resumed", "limited")]
        try:
            await self._listen(subjects)
        except BaseException:
            await self._end()
            raise
        self._connection.listeners.add(self._connection_changed)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        self._connection.listeners.discard(self._connection_changed)
        if self._timer is not None:
            self._timer.cancel()
        for subscription in self._subscriptions:
            if not self._connection.nats.is_closed:
                try:
                    await subscription.unsubscribe()
                except NatsError as problem:
                    logger.info("%s could not be unsubscribed from: %s", subscription.subject, problem)

    @property
    def is_due(self) -> bool:
        """Whether to claim now."""
        return self._next <= self._loop.time()

    def begin(self) -> None:
        """Notes that a claim is sent now: later events may tell of jobs that it does not find."""
        now = self._loop.time()
        self._heard_an_end = False
        del self._times[: bisect.bisect_right(self._times, now)]
        # Random, so that workers that began together do not ask together for ever.
        self._next_poll = now + self._poll_seconds * random.uniform(0.75, 1.25)

    async def hear_ends(self) -> None:
        """Listens to ends of jobs from now on, since jobs wait for them: a claim follows each."""
        self._waits_for_ends = True
        if not self._hears_ends:
            self._hears_ends = True
            await self._listen([self._names.changes("jobs", change) for change in ENDS])
            # A job may have ended in the meantime.
            self._add(self._loop.time())

    def end(self, *, found: bool, retry_after_ms: int | None = None, waits_for_ends: bool = False) -> None:
        """Notes that a claim was answered. If it `found` jobs, there may be more: an answer has a limit.

        If it found none because jobs wait for calls of a rate limit or for the end of a window, its answer
        says when to ask again. The next poll is then, or at the usual time if that is sooner, since there may
        be other jobs of which no event told.
        """
        self._waits_for_ends = waits_for_ends
        if found or (waits_for_ends and self._heard_an_end):
            self._add(self._loop.time())
        if found:
            return
        now = self._loop.time()
        if retry_after_ms is not None:
            # Not sooner, and at a random time after: other workers were told the same.
            asked_for = retry_after_ms / 1000 * random.uniform(1.0, 1.25)
            self._next_poll = min(self._next_poll, now + asked_for)
        self._not_before = now + EMPTY_PAUSE_SECONDS
        self._set_timer()

    @property
    def _next(self) -> float:
        heard = self._times[0] if self._times else self._next_poll
        return max(self._not_before, min(heard, self._next_poll))

    def _add(self, when: float) -> None:
        now = self._loop.time()
        if when <= now and self._times and self._times[0] <= now:
            # One due time is enough: claims go on until nothing is found. Many would crowd out later ones.
            return
        if len(self._times) < MAXIMUM_TIMES or when < self._times[-1]:
            bisect.insort(self._times, when)
            del self._times[MAXIMUM_TIMES:]
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._next, self._ring)

    def _ring(self) -> None:
        # A loop may call too early, by its clock's resolution: nothing is due yet, so the timer is set again.
        if self.is_due:
            self._wake()
        else:
            self._set_timer()

    async def _listen(self, subjects: list[str]) -> None:
        for subject in subjects:
            self._subscriptions.append(await self._connection.listen(subject, self._hear))

    def _connection_changed(self) -> None:
        nats = self._connection.nats
        if nats.is_connected or nats.is_closed:
            # Events may have been missed, so a claim follows. On a closed connection, that claim raises.
            self._add(self._loop.time())

    def _hear(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        try:
            event = _decode(body)
        except msgspec.MsgspecError as error:
            logger.info("an event on %s cannot be read: %s", subject, error)
            return
        change = subject.rpartition(".")[2]
        if change in CONCERN_RUNNING:
            self._concern(split_stream(event.subject)[1])
        if change in FREE_A_PLACE:
            self._heard_an_end = True
            if self._waits_for_ends:
                self._add(self._loop.time())
        if change in MAKE_DUE or change in ("resumed", "limited"):
            self._take(event)

    def _take(self, event: _Event) -> None:
        data = event.data
        if data.held or data.waiting_for or not self._may_be_ours(event):
            return
        run_at = data.next_run_at if data.next_run_at is not None else data.run_at
        delay = 0.0
        if run_at is not None:
            # Both times are by the service's clock; this machine's may differ.
            delay = max(0.0, run_at / 1000 - event.time.timestamp())
        self._add(self._loop.time() + delay)

    def _may_be_ours(self, event: _Event) -> bool:
        """Whether the job may be one for this worker: only some events name its queue and its type."""
        data = event.data
        if not event.type.endswith((".enqueued.v1", ".replaced.v1")):
            return True
        return (data.queue or "default") == self._queue and data.type in self._types
