"""Three aggregates whose types share names with each other, with ours, and with generated ones."""

import enum
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypedDict

import msgspec

from domain.decider import Decider, Decision, Verb
from domain.messages import Command, Event, Key, Recorded


def _decider(table: str, event_type: str, *kinds: Any) -> Decider:
    """An aggregate with a field of each of these types in its command, its event and its state."""
    fields: list[Any] = [(f"field_{place}", kind) for place, kind in enumerate(kinds)]
    # Its verb is called as a struct in it.
    command: Any = msgspec.defstruct(
        "Line", [("id", Key), *fields], bases=(Command,), frozen=True, kw_only=True
    )
    event: Any = msgspec.defstruct("Done", fields, bases=(Event,), frozen=True, kw_only=True)
    state: Any = msgspec.defstruct("Queue", [("id", str), *fields], frozen=True, kw_only=True)

    def decide(before: Any, command: Any, context: Any, key: str) -> Decision:
        said = {name: getattr(command, name) for name, _ in fields}
        return Decision(events=((key, event(**said)),))

    def evolve(before: Any, recorded: Recorded) -> Any:
        said = {name: getattr(recorded.event, name) for name, _ in fields}
        return state(id=recorded.key, **said)

    verb = Verb(name="line", command=command, key=attrgetter("id"), decide=decide, events=(event,))
    return Decider(table=table, state=state, evolve=evolve, events={event_type: event}, verbs=(verb,))


class First:
    """Types of one author."""

    class Line(msgspec.Struct, frozen=True):
        a: int = 0

    class State(enum.Enum):
        OPEN = 1
        SHUT = 2

    @dataclass(frozen=True)
    class Job:
        """A job of another kind."""

        hours: int = 1


class Second:
    """Types of another author, with the same names."""

    class Line(msgspec.Struct, frozen=True):
        b: str = ""

    class State(enum.Enum):
        OPEN = "open"

    class Job(TypedDict):
        inner: int


class Third:
    """Types of an aggregate whose table has the name of a row of ours."""

    class Line(msgspec.Struct, frozen=True):
        c: str | None = None


ORDERS = _decider("orders", "order.done.v1", list[First.Line], First.State, First.Job)
RETURNS = _decider("returns", "return.done.v1", list[Second.Line], Second.State, Second.Job)
JOB = _decider("job", "task.done.v1", Third.Line | None)
