"""A small aggregate of another author; a test changes the part that it is about."""

from operator import attrgetter
from typing import Any

import msgspec

from domain.decider import Decider, Decision, Verb
from domain.messages import Command, Event, Key, Recorded


class Open(Command, frozen=True, kw_only=True):
    id: Key


class Opened(Event, frozen=True, kw_only=True):
    by: str = ""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    id: str


def decide(state: Any, command: Any, context: Any, key: Any) -> Decision:
    return Decision(events=((key, Opened()),))


def evolve(state: Any, recorded: Recorded) -> Door:
    return Door(id=recorded.key)


def verb(name: str = "open", command: Any = Open, **changed: Any) -> Verb:
    return Verb(**{"name": name, "command": command, "key": attrgetter("id"), "decide": decide, **changed})


def door(**changed: Any) -> Decider:
    events = {"door.opened.v1": Opened}
    return Decider(
        **{"table": "doors", "state": Door, "evolve": evolve, "events": events, "verbs": (verb(),), **changed}
    )
