"""Queues: every name is one, and only a queue that was paused has a stream.

    open --- pause_queue --> paused --- resume_queue --> open

A claim on a paused queue gets nothing. Jobs are still enqueued there, and running ones are finished.
"""

from operator import attrgetter

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.messages import Command, Event, Key, Recorded, Text

TABLE = "queues"


class PauseQueue(Command, frozen=True, kw_only=True):
    """No job of the queue is handed out until it is resumed."""

    queue: Key
    reason: Text | None = None


class ResumeQueue(Command, frozen=True, kw_only=True):
    """Jobs of the queue are handed out again."""

    queue: Key


class Paused(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Resumed(Event, frozen=True, kw_only=True):
    pass


class Queue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A queue that was paused at least once. `paused_at` is `None` while it is open."""

    name: str
    updated_at: int
    reason: str | None = None
    paused_at: int | None = None

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None


def is_paused(name: str, context: Context) -> bool:
    """Whether no job of the queue is to be handed out."""
    queue: Queue | None = context.state(TABLE, name)
    return queue is not None and queue.is_paused


def _pause(state: Queue | None, command: PauseQueue, context: Context, key: str) -> Decision:
    if state is not None and state.is_paused and state.reason == command.reason:
        return Decision()
    return Decision(events=((key, Paused(reason=command.reason)),))


def _resume(state: Queue | None, command: ResumeQueue, context: Context, key: str) -> Decision:
    if state is None or not state.is_paused:
        return Decision()
    return Decision(events=((key, Resumed()),))


def evolve(state: Queue | None, recorded: Recorded) -> Queue:
    """The queue after an event."""
    match recorded.event:
        case Paused(reason=reason):
            at = recorded.recorded_at
            paused_at = at if state is None or state.paused_at is None else state.paused_at
            return Queue(name=recorded.key, updated_at=at, reason=reason, paused_at=paused_at)
        case Resumed():
            return Queue(name=recorded.key, updated_at=recorded.recorded_at)
        case event:
            raise TypeError(f"not an event of a queue: {type(event).__name__}")


_queue = attrgetter("queue")
DECIDER = Decider(
    table=TABLE,
    state=Queue,
    evolve=evolve,
    events={"queue.paused.v1": Paused, "queue.resumed.v1": Resumed},
    commands_of="jobs",
    verbs=(
        Verb(name="pause_queue", command=PauseQueue, key=_queue, decide=_pause, events=(Paused,)),
        Verb(name="resume_queue", command=ResumeQueue, key=_queue, decide=_resume, events=(Resumed,)),
    ),
)
