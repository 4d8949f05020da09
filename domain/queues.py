"""Queues: any name is a queue, but only one that was paused or limited has a stream.

    open --- pause_queue --> paused --- resume_queue --> open

A claim on a paused queue gets no job. Jobs are still enqueued there, and running ones are finished. The
limits of a queue hold for all of its jobs, in addition to their own. Pausing and resuming do not change them.
"""

from operator import attrgetter
from typing import Annotated

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.limiting import Begins, ConcurrencyLimit, CountedRate, RateWindowMs
from domain.messages import Command, Event, Key, Recorded, Text, about

TABLE = "queues"


class PauseQueue(Command, frozen=True, kw_only=True):
    """No job of the queue is handed out until it is resumed."""

    queue: Key
    reason: Text | None = None


class ResumeQueue(Command, frozen=True, kw_only=True):
    """Jobs of the queue are handed out again."""

    queue: Key


class AttemptRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many attempts may begin within a window."""

    limit: Begins
    window_ms: RateWindowMs


class LimitQueue(Command, frozen=True, kw_only=True):
    """The limits of the queue from now on; a limit that is left out, or null, does not apply.

    At most `concurrency` of its jobs run at once, and at most `limit` attempts begin within `window_ms`
    milliseconds, counted from now on if the window is another one than before.
    """

    queue: Key
    concurrency: ConcurrencyLimit | None = None
    rate: AttemptRate | None = None


class QueueRate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rate of a queue, as it was accepted once."""

    limit: Annotated[int, about("how many attempts may begin within the window")]
    window_ms: Annotated[int, about("how long that is")]

    def counted(self, queue: str) -> CountedRate:
        """The rate of this queue as a claimed event names it: each attempt that begins counts for it."""
        return CountedRate(queue=queue, window_ms=self.window_ms)


class Paused(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Resumed(Event, frozen=True, kw_only=True):
    pass


class Limited(Event, frozen=True, kw_only=True):
    """The limits that the queue has from now on."""

    concurrency: int | None = None
    rate: QueueRate | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A queue that was paused or limited at least once. `paused_at` is `None` while it is open."""

    name: str
    updated_at: int
    reason: str | None = None
    paused_at: int | None = None
    concurrency: int | None = None
    rate: QueueRate | None = None

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None


def queue_of(name: str, context: Context) -> Queue | None:
    """The state of a queue; `None` if it was never paused or limited."""
    queue: Queue | None = context.state(TABLE, name)
    return queue


def _pause(state: Queue | None, command: PauseQueue, context: Context, key: str) -> Decision:
    if state is not None and state.is_paused and state.reason == command.reason:
        return Decision()
    return Decision(events=((key, Paused(reason=command.reason)),))


def _resume(state: Queue | None, command: ResumeQueue, context: Context, key: str) -> Decision:
    if state is None or not state.is_paused:
        return Decision()
    return Decision(events=((key, Resumed()),))


def _limit(state: Queue | None, command: LimitQueue, context: Context, key: str) -> Decision:
    rate = None if command.rate is None else msgspec.convert(command.rate, QueueRate, from_attributes=True)
    before = (None, None) if state is None else (state.concurrency, state.rate)
    if before == (command.concurrency, rate):
        return Decision()
    return Decision(events=((key, Limited(concurrency=command.concurrency, rate=rate)),))


def evolve(state: Queue | None, recorded: Recorded) -> Queue:
    """The queue after an event."""
    at = recorded.recorded_at
    before = Queue(name=recorded.key, updated_at=at) if state is None else state
    match recorded.event:
        case Paused(reason=reason):
            paused_at = at if before.paused_at is None else before.paused_at
            return msgspec.structs.replace(before, updated_at=at, reason=reason, paused_at=paused_at)
        case Resumed():
            return msgspec.structs.replace(before, updated_at=at, reason=None, paused_at=None)
        case Limited(concurrency=concurrency, rate=rate):
            return msgspec.structs.replace(before, updated_at=at, concurrency=concurrency, rate=rate)
        case event:
            raise TypeError(f"not an event of a queue: {type(event).__name__}")


_queue = attrgetter("queue")
DECIDER = Decider(
    table=TABLE,
    state=Queue,
    evolve=evolve,
    events={"queue.paused.v1": Paused, "queue.resumed.v1": Resumed, "queue.limited.v1": Limited},
    commands_of="jobs",
    verbs=(
        Verb(name="pause_queue", command=PauseQueue, key=_queue, decide=_pause, events=(Paused,)),
        Verb(name="resume_queue", command=ResumeQueue, key=_queue, decide=_resume, events=(Resumed,)),
        Verb(name="limit_queue", command=LimitQueue, key=_queue, decide=_limit, events=(Limited,)),
    ),
)
