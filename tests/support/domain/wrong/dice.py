"""A die whose state is made by chance from the fifth throw on, and not by what the event says.

No trial before a start throws it as often.
"""

import random
from operator import attrgetter
from typing import Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.messages import Command, Event, Key, Recorded


class Throw(Command, frozen=True, kw_only=True):
    id: Key


class Thrown(Event, frozen=True, kw_only=True):
    pass


class Die(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    eyes: float


def _throw(state: Die | None, command: Throw, context: Context, key: str) -> Decision:
    return Decision(events=((key, Thrown()),))


def evolve(state: Any, recorded: Recorded) -> Die:
    return Die(id=recorded.key, eyes=random.random() if recorded.version > 4 else 1)


DECIDER = Decider(
    table="dice",
    state=Die,
    evolve=evolve,
    events={"die.thrown.v1": Thrown},
    verbs=(Verb(name="throw", command=Throw, key=attrgetter("id"), decide=_throw, events=(Thrown,)),),
)
